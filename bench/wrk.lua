-- What wrk measured, as one line of JSON. With the path of a file as an argument, every answer must have its bytes as
-- body; the others count as failed.
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  wrong = 0
  if not args[1] then return end
  local file = assert(io.open(args[1], "rb"))
  local expected = file:read("*a")
  file:close()
  function response(_, _, body)
    if body ~= expected then wrong = wrong + 1 end
  end
end

done = function(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("wrong")
  end
  io.write(string.format(
    '{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed
  ))
end
