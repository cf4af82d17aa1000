-- For wrk: the request from the arguments (method, content type, file of the body), and the result
-- as one line of JSON.

function init(args)
    wrk.method = args[1]
    if args[2] then
        wrk.headers["Content-Type"] = args[2]
        local file = io.open(args[3], "rb")
        wrk.body = file:read("*a")
        file:close()
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": '
            .. '{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
