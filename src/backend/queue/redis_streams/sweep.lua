-- Moves what is due to the stream, claims what others left, and forgets consumers that are gone.
--
-- KEYS: the stream, the delayed.
-- ARGV: the group; the consumer; how many to move at most; how many bytes; from where to look for claims
-- that are over, or nothing not to; how long a claim lasts, in ms; how many to claim at most; how long a
-- consumer was silent that is gone, in ms, or 0 not to look.
-- Gives: how long it is until the next is due, in ms, or -1; from where to look for claims next time; and
-- what was claimed, each with how often it was handed out.
local call = redis.call
local stream, delayed = KEYS[1], KEYS[2]
local group, consumer = ARGV[1], ARGV[2]
local moves_max, bytes_max = tonumber(ARGV[3]), tonumber(ARGV[4])
local from, claim, claims_max = ARGV[5], ARGV[6], ARGV[7]
local silence = tonumber(ARGV[8])
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A server that is full adds nothing, and its queues must be emptied all the same: so no error here.
local function move(member)
  local id_end = string.find(member, ' ', 1, true)
  local tries_end = id_end and string.find(member, ' ', id_end + 1, true)
  if not tries_end then
    return redis.pcall('XADD', stream, '*', 'body', member)
  end
  local tries = string.sub(member, id_end + 1, tries_end - 1)
  local body = string.sub(member, tries_end + 1)
  if tries == '0' then
    return redis.pcall('XADD', stream, '*', 'body', body)
  end
  return redis.pcall('XADD', stream, '*', 'tries', tries, 'body', body)
end

local moved, bytes, wait = 0, 0, -1
while true do
  local next = call('ZRANGE', delayed, moved, moved, 'WITHSCORES')
  if not next[1] then
    break
  end
  wait = math.max(math.ceil(tonumber(next[2]) - now), 0)
  if wait > 0 or moved == moves_max or bytes > bytes_max then
    break
  end
  local added = move(next[1])
  if type(added) == 'table' and added.err then
    wait = -1
    break
  end
  moved = moved + 1
  bytes = bytes + #next[1]
end
if moved > 0 then
  call('ZREMRANGEBYRANK', delayed, 0, moved - 1)
end

local claimed = {}
if from ~= '' then
  local found = call('XAUTOCLAIM', stream, group, consumer, claim, from, 'COUNT', claims_max)
  from = found[1]
  for _, entry in ipairs(found[2]) do
    local held = call('XPENDING', stream, group, entry[1], entry[1], 1)[1]
    claimed[#claimed + 1] = { entry, held and held[4] or 1 }
  end
end

-- In one go: a consumer that is deleted takes what it holds with it.
if silence > 0 then
  for _, fields in ipairs(call('XINFO', 'CONSUMERS', stream, group)) do
    local info = {}
    for i = 1, #fields, 2 do
      info[fields[i]] = fields[i + 1]
    end
    if info.name ~= consumer and info.pending == 0 and info.idle > silence then
      call('XGROUP', 'DELCONSUMER', stream, group, info.name)
    end
  end
end
return { wait, from, claimed }
