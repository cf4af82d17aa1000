# Defaults of the settings that the environment lacks, in an image: on Kubernetes it has only those that
# differ. Compose and `serve` set all of them. $source is the directory of this file.
# shellcheck shell=sh

# shellcheck disable=SC2154  # of the script that reads this
if [ -f "$source/defaults.env" ]; then
    while IFS= read -r line; do
        case $line in
        [A-Z]*=*) eval "[ \"\${${line%%=*}+set}\" ]" || export "${line?}" ;;
        esac
    done <"$source/defaults.env"
fi
