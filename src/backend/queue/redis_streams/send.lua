-- Adds messages whose ids are not remembered, and remembers them.
--
-- KEYS: the stream, the delayed, and the two sets of ids.
-- ARGV: how long ids are remembered, in ms; how many messages; how many ids, which is none where nobody
-- needs them; the ids; the bodies; and, if any is to be delayed, how long each is, in ms.
-- Gives the places of those that were there before.
local call = redis.call
local stream, delayed = KEYS[1], KEYS[2]
local window, count, id_count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last_id = 3 + id_count
local last_body = last_id + count
local is_any_delayed = #ARGV > last_body
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local is_known, is_any_known = {}, false

-- Notes which ids are in a set; gives how many are not.
local function look(set)
  local is_in, absent = call('SMISMEMBER', set, unpack(ARGV, 4, last_id)), count
  for i = 1, count do
    if is_in[i] == 1 then
      is_known[i], is_any_known = true, true
      absent = absent - 1
    end
  end
  return absent
end

if window > 0 then
  -- These fail where a key is something else: nothing may be remembered that is not added.
  call('XLEN', stream)
  call('ZCARD', delayed)
  local turn = math.floor(now / window)
  local current, previous = KEYS[3 + turn % 2], KEYS[4 - turn % 2]
  if call('EXISTS', previous) == 1 then
    look(previous)
  end
  -- A set lasts until three windows after its own began. One with less than two left is that of two
  -- windows ago. It is unlinked, since to expire a large one takes the server long.
  local is_fresh = call('PTTL', current) <= 2 * window
  local absent = count
  if is_fresh then
    call('UNLINK', current)
  else
    absent = look(current)
  end
  local added = call('SADD', current, unpack(ARGV, 4, last_id))
  if is_fresh then
    call('PEXPIREAT', current, (turn + 3) * window)
  end
  if added < absent then
    -- Some are twice in here.
    local seen = {}
    for i = 1, count do
      local id = ARGV[3 + i]
      is_known[i] = is_known[i] or seen[id]
      seen[id] = true
    end
    is_any_known = true
  end
end

if not is_any_known and not is_any_delayed then
  for i = last_id + 1, last_body do
    call('XADD', stream, '*', 'body', ARGV[i])
  end
  return {}
end

local known = {}
for i = 1, count do
  local body = ARGV[last_id + i]
  local delay = is_any_delayed and tonumber(ARGV[last_body + i]) or 0
  if is_known[i] then
    known[#known + 1] = i
  elseif delay == 0 then
    call('XADD', stream, '*', 'body', body)
  elseif call('ZADD', delayed, now + delay, ARGV[3 + i] .. ' 0 ' .. body) == 0 then
    known[#known + 1] = i
  end
end
return known
