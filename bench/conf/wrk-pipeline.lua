-- wrk: write `depth` requests at once, and wait for all their answers.
-- Usage: wrk -s pipeline.lua URL -- DEPTH
function init(args)
   local depth = tonumber(args[1])
   local batch = {}
   for i = 1, depth do
      batch[i] = wrk.format(nil, wrk.path)
   end
   pipelined = table.concat(batch)
end

function request()
   return pipelined
end
