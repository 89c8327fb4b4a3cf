-- wrk: print what was counted as one line of JSON, exact bytes and the 99.9th
-- percentile included, which wrk's own report does not have.
function done(summary, latency, requests)
   -- wrk's count of latencies can be more than its histogram holds (pipelined
   -- requests are counted one by one and recorded together); percentiles beyond
   -- the last one it holds are then 0. That one is its real 100th.
   local low, last = 0, 100
   if latency:percentile(last) == 0 then
      for _ = 1, 40 do
         local middle = (low + last) / 2
         if latency:percentile(middle) == 0 then last = middle else low = middle end
      end
      last = low
   end
   local function ns(p) return latency:percentile(p / 100 * last) * 1000 end
   local e = summary.errors
   io.write(string.format(
      '\ncounted {"requests":%.0f,"elapsed_ns":%.0f,"bytes":%.0f,"errors":%.0f,"wrong":%.0f,"p50_ns":%.0f,"p90_ns":%.0f,"p99_ns":%.0f,"p999_ns":%.0f,"max_ns":%.0f}\n',
      summary.requests, summary.duration * 1000, summary.bytes,
      e.connect + e.read + e.write + e.timeout, e.status, ns(50), ns(90), ns(99), ns(99.9), latency.max * 1000))
end
