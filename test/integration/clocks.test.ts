import { type AccessToken, type Clock, createTokenManager, memoryStore } from 'evertoken'
import { describe, expect, vi } from 'vitest'
import { clientOf, test } from '../support/fixtures.ts'
import type { TestClock } from '../support/test-clock.ts'

/** Not public: the door is the `clock` option, and nobody else needs to make one. */
const { createClock, systemClock } =
  await vi.importActual<typeof import('../../src/util/index.ts')>('../../src/util/index.ts')

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

interface Machine {
  readonly clock: Clock
  /** Sets the wall clock; the monotonic one does not notice. */
  jump(ms: number): void
  readonly monotonicReads: number
}

/** The clock of the package over a wall clock that jumps; `stopwatch` moves both readings, and the timers. */
function machineOn(stopwatch: TestClock): Machine {
  let offset = 0
  let monotonicReads = 0
  const clock = createClock({
    wallTime: () => stopwatch.now() + offset,
    monotonic() {
      monotonicReads++
      return stopwatch.now()
    },
  })
  return {
    clock: { ...clock, setTimer: stopwatch.setTimer },
    jump(ms) {
      offset += ms
    },
    get monotonicReads() {
      return monotonicReads
    },
  }
}

describe('F3.06 a wall clock that jumps', () => {
  for (const { name, ms } of [
    { name: '-1 h', ms: -HOUR },
    { name: '-1 d', ms: -DAY },
    { name: '-1 s', ms: -SECOND },
  ]) {
    for (const heldFor of [0, 30 * MINUTE]) {
      test(`F3.06 ${name} after ${heldFor / MINUTE} min: the token lives no longer for it`, async ({
        manage,
        server,
        clock,
      }) => {
        const machine = machineOn(clock)
        const tokens = manage({}, { clock: machine.clock })
        await tokens.getToken('api')
        await clock.advance(heldFor)
        machine.jump(ms)
        expect((await tokens.getToken('api')).accessToken).toBe('token-1')
        expect(server.requests).toHaveLength(1)
        await clock.advance(HOUR - SECOND - heldFor)
        expect((await tokens.getToken('api')).accessToken).toBe('token-2')
      })
    }
  }

  test('F3.06 -1 h while the token is fetched: its life still counts from the request', async ({
    manage,
    server,
    clock,
  }) => {
    const machine = machineOn(clock)
    const plain = server.answer
    server.answer = (request) => {
      machine.jump(-HOUR)
      return plain(request)
    }
    const sentAt = clock.now()
    const tokens = manage({}, { clock: machine.clock })
    expect((await tokens.getToken('api')).expiresAt).toBe(sentAt + HOUR)
    await clock.advance(HOUR)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  test('F3.06 -1 h ten times in a row: nothing adds up', async ({ manage, server, clock }) => {
    const machine = machineOn(clock)
    const tokens = manage({}, { clock: machine.clock })
    const start = machine.clock.now()
    await tokens.getToken('api')
    for (let n = 0; n < 10; n++) {
      machine.jump(-HOUR)
      await clock.advance(5 * MINUTE)
      await tokens.getToken('api')
    }
    expect(machine.clock.now() - start).toBe(50 * MINUTE)
    expect(server.requests).toHaveLength(1)
    await clock.advance(10 * MINUTE)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  for (const { name, ms } of [
    { name: '+1 h', ms: HOUR },
    { name: '+1 d', ms: DAY },
  ]) {
    test(`F3.06 ${name}: one renewal, before use, and then the new token lives as long as any`, async ({
      manage,
      server,
      clock,
    }) => {
      const machine = machineOn(clock)
      const tokens = manage({}, { clock: machine.clock })
      await tokens.getToken('api')
      machine.jump(ms)
      for (let minute = 0; minute < 50; minute++) {
        expect((await tokens.getToken('api')).accessToken).toBe('token-2')
        await clock.advance(MINUTE)
      }
      expect(server.requests).toHaveLength(2)
    })

    test(`F3.06 ${name} and back: no second renewal, and no longer life`, async ({ manage, server, clock }) => {
      const machine = machineOn(clock)
      const tokens = manage({}, { clock: machine.clock })
      await tokens.getToken('api')
      machine.jump(ms)
      await tokens.getToken('api')
      machine.jump(-ms)
      await clock.advance(50 * MINUTE)
      expect((await tokens.getToken('api')).accessToken).toBe('token-2')
      expect(server.requests).toHaveLength(2)
      await clock.advance(10 * MINUTE)
      expect((await tokens.getToken('api')).accessToken).toBe('token-3')
    })
  }

  test('F3.06 a leap back that was noticed is not forgotten in a long idle time', () => {
    let monotonic = 0
    let offset = 0
    const clock = createClock({ wallTime: () => monotonic + offset, monotonic: () => monotonic })
    offset = -80_000
    clock.now()
    monotonic = DAY
    expect(clock.now()).toBe(DAY)
    offset = 0
    monotonic += MINUTE
    expect(clock.now()).toBe(DAY + MINUTE)
  })

  test('F3.06 what others read is the wall clock as it is', ({ clock }) => {
    const machine = machineOn(clock)
    machine.jump(-HOUR)
    expect(machine.clock.wallTime()).toBe(clock.now() - HOUR)
    expect(machine.clock.now()).toBe(clock.now())
  })
})

describe('F3.09 processes whose clocks differ', () => {
  test('F3.09 two minutes apart over one store: the shorter view wins, nobody renews back and forth', async ({
    server,
    clock,
  }) => {
    const store = memoryStore({ clock })
    const aheadBy = (ms: number): Clock => ({ ...clock, now: () => clock.now() + ms, wallTime: () => clock.now() + ms })
    const make = (ms: number) => createTokenManager({ store, clock: aheadBy(ms), clients: { api: clientOf(server) } })
    const [early, late] = [make(0), make(2 * MINUTE)]
    // The one whose clock is ahead stores the token; to the other one it has no more to live than it had then.
    await late.getToken('api')
    expect((await early.getToken('api')).expiresAt).toBe(clock.now() + HOUR)
    for (let minute = 0; minute < 180; minute++) {
      await Promise.all([early.getToken('api'), late.getToken('api')])
      await expect.poll(() => clock.pending, { interval: 1 }).toBe(0)
      await clock.advance(MINUTE)
    }
    // Three hours, three lifetimes and a bit.
    expect(server.requests.length).toBeLessThanOrEqual(8)
    await Promise.all([early.close(), late.close()])
  })
})

describe('F3.07 a suspended machine', () => {
  test('F3.07 2 h, timers and monotonic clock stand still: the first call renews before use, in one request', async ({
    manage,
    server,
    clock,
  }) => {
    const machine = machineOn(clock)
    const tokens = manage({}, { clock: machine.clock })
    await tokens.getToken('api')
    machine.jump(2 * HOUR)
    const herd = await Promise.all(Array.from({ length: 1000 }, () => tokens.getToken('api')))
    expect(new Set(herd.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('F3.07 a request sees the new token only', async ({ manage, elsewhere, clock }) => {
    elsewhere.answer = ({ headers }) => ({ body: JSON.stringify(headers.authorization) })
    const machine = machineOn(clock)
    const call = manage({}, { clock: machine.clock }).fetch('api', { baseUrl: elsewhere.origin })
    expect(await (await call('x')).json()).toBe('Bearer token-1')
    machine.jump(2 * HOUR)
    expect(await (await call('x')).json()).toBe('Bearer token-2')
  })

  test('F3.07 no timer waits for the token to age', async ({ manage, clock }) => {
    await manage({}, { clock: machineOn(clock).clock }).getToken('api')
    expect(clock.pending).toBe(0)
  })
})

describe('F3.08 odd seconds', () => {
  test('F3.08 a repeated second does nothing', async ({ manage, server, clock }) => {
    const machine = machineOn(clock)
    const tokens = manage({}, { clock: machine.clock })
    const first = await tokens.getToken('api')
    const seen = new Set<AccessToken>()
    const readings: number[] = []
    // 23:59:59.950 to 23:59:59.999, and then that second again.
    for (let ms = 0; ms < 2 * SECOND; ms += 50) {
      await clock.advance(50)
      if (ms === SECOND) machine.jump(-SECOND)
      readings.push(machine.clock.now())
      seen.add(await tokens.getToken('api'))
    }
    expect(seen).toEqual(new Set([first]))
    expect(server.requests).toHaveLength(1)
    expect(readings).toEqual(readings.map((_, i) => (readings[0] ?? 0) + 50 * i))
  })

  test('F3.08 a second smeared over a day does nothing', async ({ manage, server, clock }) => {
    server.answer = () => ({ body: '{"access_token":"a-day","token_type":"Bearer","expires_in":86400}' })
    const machine = machineOn(clock)
    const tokens = manage({}, { clock: machine.clock })
    await tokens.getToken('api')
    for (let minute = 0; minute < 23 * 60; minute++) {
      await clock.advance(MINUTE)
      machine.jump(-MINUTE / (DAY / SECOND))
      await tokens.getToken('api')
    }
    expect(server.requests).toHaveLength(1)
    await clock.advance(HOUR)
    await tokens.getToken('api')
    expect(server.requests).toHaveLength(2)
  })
})

describe('F3 the clock of this process', () => {
  test('F3.06 the monotonic clock is read at most once in 100 ms', async ({ clock }) => {
    const machine = machineOn(clock)
    const before = machine.monotonicReads
    for (let ms = 0; ms < SECOND; ms++) {
      for (let n = 0; n < 10; n++) machine.clock.now()
      await clock.advance(1)
    }
    expect(machine.monotonicReads - before).toBeLessThanOrEqual(10)
    expect(machine.monotonicReads - before).toBeGreaterThan(0)
  })

  for (const { asked, set } of [
    { asked: 2 ** 31 - 1, set: 2 ** 31 - 1 },
    { asked: 2 ** 31, set: 2 ** 31 - 1 },
    { asked: 1e15, set: 2 ** 31 - 1 },
    { asked: Number.POSITIVE_INFINITY, set: 2 ** 31 - 1 },
    { asked: 0, set: 0 },
    { asked: -5, set: 0 },
  ]) {
    test(`F3.04 a timer of ${asked} ms is one of ${set}, and keeps no process alive`, () => {
      const setTimeout = vi.spyOn(globalThis, 'setTimeout')
      const cancel = systemClock.setTimer(() => expect.unreachable(), asked)
      const timer = setTimeout.mock.results[0]?.value as NodeJS.Timeout
      expect(setTimeout.mock.calls[0]?.[1]).toBe(set)
      expect(timer.hasRef()).toBe(false)
      cancel()
      setTimeout.mockRestore()
      expect(timer).toMatchObject({ _destroyed: true })
    })
  }
})
