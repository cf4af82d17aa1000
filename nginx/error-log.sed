# nginx's error log without queries, in which tokens and the debugger's PIN travel. nginx writes the
# whole request line, and the Referer. start.sh runs this with GNU sed.

# dropped-headers.conf has more names than nginx's hash for them holds without collisions. The hash
# cannot be made larger, and works.
/could not build optimal uwsgi_params_hash/d

# DEBUG_PASSWORD_FILE: people type passwords where the name belongs.
s/user ".*" was not found/user "..." was not found/
s/?[^ ]*/?.../g
# The Referer comes last, and may have spaces in it.
s/\(referrer: "[^?]*?\).*/\1..."/

# Not on standard output, which sed would buffer.
w /dev/stderr
