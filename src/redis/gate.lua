-- One exchange between a worker and the gate it shares: the worker says what it
-- did and what it needs, and is told what it may do. Times are microseconds of
-- Redis's own clock.
--   KEYS: state (hash), leases (sorted set: worker -> end, in milliseconds),
--         workers (hash: worker -> "held wanted")
--   reply: units, first unit in, slots, closed for, calls, repeats, workers
local number = tonumber
local me = ARGV[1]
local lease, most = number(ARGV[2]), number(ARGV[3])
local interval, burst = number(ARGV[4]), number(ARGV[5])
local units, returned = number(ARGV[6]), number(ARGV[7])
local keeps, want = number(ARGV[8]), number(ARGV[9])
local calls, repeats, served = number(ARGV[10]), number(ARGV[11]), number(ARGV[12])
local closing, rejections = number(ARGV[13]), number(ARGV[14])
local healing = ARGV[15] == '1'

local time = redis.call('TIME')
local now = number(time[1]) * 1000000 + number(time[2])
local now_ms = math.floor(now / 1000)

local state = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  state[flat[i]] = flat[i + 1]
end
local function field(name, default)
  return number(state[name]) or default
end
local changes = {}
local function put(name, value)
  changes[#changes + 1] = name
  changes[#changes + 1] = value
end
local function exact(value)
  return string.format('%.17g', value)
end

-- Redis's clock was set back, or another machine took over: its times move along.
local ahead = field('now', now) - now
if ahead > 0 then
  for _, name in ipairs({ 'tat', 'closed', 'changed' }) do
    state[name] = field(name, 0) - ahead
    put(name, exact(state[name]))
  end
  for _, worker in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    redis.call('ZADD', KEYS[2], now_ms + lease, worker)
  end
end
put('now', now)

-- Who is alive, what they hold, and whether one of them lacks something.
local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms)
for _, worker in ipairs(dead) do
  redis.call('ZREM', KEYS[2], worker)
  redis.call('HDEL', KEYS[3], worker)
end
local alive = redis.call('ZRANGE', KEYS[2], 0, -1)
local used, wanted, workers, hungry, had = 0, 0, 1, false, 0
if #alive > 0 then
  local kept = redis.call('HMGET', KEYS[3], unpack(alive))
  for i, worker in ipairs(alive) do
    local held, wants = string.match(kept[i] or '', '^(%d+) (%d+)$')
    held, wants = number(held) or 0, number(wants) or 0
    if worker == me then
      had = held
    else
      used = used + held
      wanted = wanted + math.max(held, wants)
      workers = workers + 1
      hungry = hungry or wants > held
    end
  end
end

-- A rejection closes for all; what reopens is what the server took, and grows back.
local closed, tat, last = field('closed', 0), field('tat', 0), state['last']
local limit = math.min(field('limit', most), most)
if rejections > 0 or (healing and closing > 0) then
  if rejections > 0 then
    if closed <= now then
      limit = math.min(limit, used + keeps)
    end
    limit = math.max(1, limit - rejections)
  end
  if now + closing > closed then
    closed = now + closing
    put('closed', closed)
    -- What was reserved is void; the rate begins again without a burst.
    tat, last = closed + (burst - 1) * interval, ''
    put('tat', exact(tat))
    put('last', last)
    redis.call('PUBLISH', KEYS[1], closing)
  end
  put('limit', limit)
  put('served', 0)
  put('changed', closed)
elseif limit < most then
  local count = field('served', 0) + served
  local rested = now >= field('changed', 0) + 5000000
  if now >= closed and (rested or count >= 10 * limit) then
    local step = rested and 1 + math.floor(limit / 4) or 1
    limit, count = math.min(most, limit + step), 0
    put('limit', limit)
    put('changed', now)
  end
  put('served', count)
end

-- Slots: what is free; a fair share where others lack some; one at least for who has none.
local free = math.max(0, limit - used)
local slots = math.min(want, free)
if hungry then
  slots = math.min(slots, math.max(math.floor(limit / workers), limit - wanted))
end
if slots < 1 and want > 0 and had == 0 and free > 0 then
  slots = 1
end
-- What it keeps counts as its own until it says that it keeps less: it may have
-- used it while this exchange was on its way.
local held = math.max(slots, keeps)
if held > 0 or want > 0 then
  redis.call('ZADD', KEYS[2], now_ms + lease, me)
  redis.call('HSET', KEYS[3], me, held .. ' ' .. want)
else
  redis.call('ZREM', KEYS[2], me)
  redis.call('HDEL', KEYS[3], me)
end

-- The rate (GCRA): a run of units, reserved where they fall due.
local first, given = 0, 0
if interval > 0 then
  local before = tat
  if returned > 0 and last == me then
    tat = tat - returned * interval
  end
  if healing then
    tat = math.max(tat, now + (burst - 1) * interval)
  end
  if units > 0 and closed <= now then
    tat = math.max(tat, now)
    first = math.ceil(tat - now + (1 - burst) * interval)
    tat = tat + units * interval
    given = units
    put('last', me)
  end
  if tat ~= before then
    put('tat', exact(tat))
  end
end

-- The retry budget: five slots of two seconds.
local slot = math.floor(now / 2000000)
local fleet_calls, fleet_repeats = 0, 0
for i = 0, 4 do
  local of = field('n' .. i, -1)
  if i == slot % 5 then
    local c, r = 0, 0
    if of == slot then
      c, r = field('c' .. i, 0), field('r' .. i, 0)
    end
    c, r = math.max(0, c + calls), r + repeats
    if calls ~= 0 or repeats ~= 0 then
      put('n' .. i, slot)
      put('c' .. i, c)
      put('r' .. i, r)
    end
    fleet_calls, fleet_repeats = fleet_calls + c, fleet_repeats + r
  elseif of > slot - 5 then
    fleet_calls = fleet_calls + field('c' .. i, 0)
    fleet_repeats = fleet_repeats + field('r' .. i, 0)
  end
end

redis.call('HSET', KEYS[1], unpack(changes))
-- Nothing stays for ever: longer than a lease, the budget, and what is due yet.
local due = math.max(tat - now, closed - now + 60000000, 0) / 1000
local ttl = math.ceil(math.min(math.max(2 * lease, 60000) + due, 1e12))
for i = 1, 3 do
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return { given, first, slots, math.max(0, closed - now), fleet_calls, fleet_repeats, workers }
