-- Says what becomes of entries.
--
-- KEYS: the stream, the delayed.
-- ARGV: the group; the consumer; how long a claim lasts, in ms; how many entries are acknowledged whose
-- claims are ours for sure; their ids; and for each other entry its id, what becomes of it, and a number
-- for that.
-- Gives: the places of those whose claims are over; and the places of those that could not be done, each
-- with why.
local call = redis.call
local stream, delayed = KEYS[1], KEYS[2]
local group, consumer, claim, sure = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local done, over, failed = {}, {}, {}

for i = 1, sure do
  local id = ARGV[4 + i]
  if call('XACK', stream, group, id) == 1 then
    done[#done + 1] = id
  else
    over[#over + 1] = i
  end
end

local function finish(id)
  call('XACK', stream, group, id)
  done[#done + 1] = id
end

-- Makes a new entry of it, now or when it is due; gives whether the claim was one.
local function again(place, id, count, after)
  local entry = call('XRANGE', stream, id, id)[1]
  if not entry then
    call('XACK', stream, group, id)
    return false
  end
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  if not fields.body or #entry[2] > (fields.tries and 4 or 2) then
    -- Not of our form, so it stays as it is: its claim is over when it is due, or as it would be.
    call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', math.max(claim - after, 0), 'JUSTID')
    return true
  end
  local tries = (tonumber(fields.tries) or 0) + count
  local added
  if after == 0 then
    added = redis.pcall('XADD', stream, '*', 'tries', tries, 'body', fields.body)
  else
    local time = call('TIME')
    local due = time[1] * 1000 + math.floor(time[2] / 1000) + after
    added = redis.pcall('ZADD', delayed, due, id .. ' ' .. tries .. ' ' .. fields.body)
  end
  if type(added) == 'table' and added.err then
    -- A server that is full: what else there is to be done must be done all the same.
    failed[#failed + 1] = { place, added.err }
    return true
  end
  finish(id)
  return true
end

local verdicts = {
  ack = function(place, id)
    finish(id)
    return true
  end,
  retry = function(place, id, held, after)
    return again(place, id, held[4], after)
  end,
  extend = function(place, id)
    return #call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID') == 1
  end,
  leave = function(place, id)
    return call('XACK', stream, group, id) == 1
  end,
  -- Nobody saw it: it is as if it had not been handed out, and the next who looks takes it over.
  give = function(place, id, held)
    call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', claim, 'RETRYCOUNT', held[4] - 1, 'JUSTID')
    return true
  end,
}

for at = 5 + sure, #ARGV, 3 do
  local id, place = ARGV[at], sure + (at - 2 - sure) / 3
  local held = call('XPENDING', stream, group, id, id, 1, consumer)[1]
  if not held or not verdicts[ARGV[at + 1]](place, id, held, tonumber(ARGV[at + 2])) then
    over[#over + 1] = place
  end
end

if #done > 0 then
  call('XDEL', stream, unpack(done))
end
return { over, failed }
