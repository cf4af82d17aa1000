#!/bin/sh
# List all that is in an image: sbom.sh IMAGE NAME writes .run/sbom/NAME.cdx.json (CycloneDX).
#
# Debian's packages come with the sources that they were built from, since it is those that security
# advisories name. An image with a virtual environment has Python and its packages in the list, too.
set -eu

image=$1
name=$2
cd "$(dirname "$0")/.."
programs=$PWD/.venv/bin
result=.run/sbom/$name.cdx.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p .run/sbom

container=$(docker create "$image")
docker export "$container" >"$work/image.tar"
docker rm "$container" >/dev/null

"$programs/debsbom" generate --root "$work/image.tar" --sbom-type cdx --with-licenses \
    --out "$work/debian" 2>"$work/said" || { cat "$work/said" >&2; exit 1; }

if tar -tf "$work/image.tar" | grep -q '^venv/pyvenv.cfg$'; then
    tar -xf "$work/image.tar" -C "$work" --wildcards 'venv/lib/python*/site-packages'
    # It asks a Python where its packages are. That of the image does not run here, but this can tell.
    printf '#!/bin/sh\necho "[\\"%s\\"]"\n' "$work"/venv/lib/python*/site-packages >"$work/python"
    chmod +x "$work/python"
    # The merge below needs a name for the whole. cyclonedx-py warns that this lists no requirements.
    printf '[project]\nname = "%s"\nversion = "0"\n' "$name" >"$work/pyproject.toml"
    PYTHONWARNINGS=ignore "$programs/cyclonedx-py" environment --pyproject "$work/pyproject.toml" --output-format JSON \
        --output-file "$work/packages.cdx.json" "$work/python"
    # Python itself is no Debian package where PYTHON_IMAGE brings it.
    version=$(docker run --rm --network none "$image" python -c \
        'import platform; print(platform.python_version())')
    cat >"$work/python.cdx.json" <<EOF
{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": {
    "type": "platform", "bom-ref": "python", "name": "python", "version": "$version",
    "purl": "pkg:generic/python@$version",
    "cpe": "cpe:2.3:a:python:python:$version:*:*:*:*:*:*:*"}}}
EOF
fi

"$programs/debsbom" merge --sbom-type cdx --distro-name "$name" --out "$result" \
    "$work"/*.cdx.json 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
echo "$result"
