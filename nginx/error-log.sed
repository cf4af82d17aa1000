# Filter of nginx's error log: removes query strings, which may contain tokens and the debugger's PIN,
# from request lines and Referers. start.sh runs it with GNU sed.

# dropped-headers.conf has more names than nginx's hash holds without collisions. Its size is fixed; the
# warning is harmless.
/could not build optimal uwsgi_params_hash/d

# DEBUG_PASSWORD_FILE: users type passwords into the field of the name.
s/user ".*" was not found/user "..." was not found/
s/?[^ ]*/?.../g
# The Referer is last, and may contain spaces.
s/\(referrer: "[^?]*?\).*/\1..."/

# Not to standard output, which sed buffers.
w /dev/stderr
