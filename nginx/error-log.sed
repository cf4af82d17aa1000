# Filter of nginx's error log: removes query strings, which may contain tokens and the debugger's PIN,
# from request lines and Referers. start.sh runs it with GNU sed, in the C
# locale: in others, an invalid byte ends a match.

# dropped-headers.conf has more names than nginx's hash holds without collisions. Its size is fixed; the
# warning is harmless.
/could not build optimal uwsgi_params_hash/d

# Unescaped input, possibly of several lines: with DEBUG_PASSWORD_FILE the user name, where users type
# passwords, and with PROXY_PROTOCOL the whole request of a client that does not send its header. nginx
# truncates a message to 2,048 bytes, so its end may be missing.
:message
/^[0-9/]* [0-9:]* \[error\] [0-9#]*: \*[0-9]* \(broken header:\|user\) "/{
    s/ ".*\(" while reading PROXY\|" was not found\)/ "...\1/
    t query
    /": password mismatch, /b query
    s/ ".*/ "..."/
    h
    :more
    n
    /" while reading PROXY\|" was not found/{
        s/.*\(" while reading PROXY\|" was not found\)/\1/
        H
        x
        s/"\n//
        b query
    }
    /^[0-9]\{4\}[-/]/!b more
    x
    w /dev/stderr
    x
    b message
}

:query
s/\(upstream sent invalid header: "[^":]*:\).*\(" while reading\)/\1 ...\2/
s/?[^ ]*/?.../g
# The Referer is last, and may contain spaces.
s/\(referrer: "[^?]*?\).*/\1..."/

# Escape sequences of terminals.
s/[[:cntrl:]]/./g
# Not to standard output, which sed buffers.
w /dev/stderr
