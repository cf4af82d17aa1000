-- For wrk: a fixed number of requests, each with its response.
--
-- Arguments: requests, connections, method, and the file of the body if there is one. The result is one
-- line of JSON.

local ffi = require("ffi")
ffi.cdef [[ int getpid(void); int kill(int pid, int signal); ]]
local SIGINT = 2

function init(args)
    left, busy = tonumber(args[1]) + 1, tonumber(args[2])  -- wrk tries one without sending it
    wrk.method = args[3]
    if args[4] then
        local file = io.open(args[4], "rb")
        wrk.body = file:read("*a")
        file:close()
    end
    text = wrk.format()
end

-- Called for each connection when it has its response. wrk only knows an end by time, which would cut
-- off requests that the server works on. A connection that sends nothing stays idle; when all are,
-- stop, as with Ctrl-C.
function request()
    left = left - 1
    if left >= 0 then return text end
    busy = busy - 1
    if busy == 0 then
        wrk.thread:stop()
        ffi.C.kill(ffi.C.getpid(), SIGINT)
    end
    return ""
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
