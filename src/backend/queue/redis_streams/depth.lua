-- How many messages there are.
--
-- KEYS: the stream, the delayed.
-- ARGV: the group.
-- Gives: how many are ready, claimed, and delayed.
local call = redis.call
local stream, delayed = KEYS[1], KEYS[2]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = call('ZCOUNT', delayed, '-inf', now)
local later = call('ZCARD', delayed) - due
local length = call('XLEN', stream)
if length == 0 then
  -- A stream that is not there has no groups to tell of, either.
  return { due, 0, later }
end
for _, fields in ipairs(call('XINFO', 'GROUPS', stream)) do
  local info = {}
  for i = 1, #fields, 2 do
    info[fields[i]] = fields[i + 1]
  end
  if info.name == ARGV[1] then
    -- The server does not know how far behind a group is when entries were deleted that it had not read.
    return { (info.lag or length - info.pending) + due, info.pending, later }
  end
end
return { length + due, 0, later }
