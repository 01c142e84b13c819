import { createTokenManager, memoryStore } from 'evertoken'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, hang, reset, tokenJson } from '../support/hostile-server.ts'
import { settle, type TestClock } from '../support/test-clock.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** Waits until no request is under way: each has a deadline, which hand-moved time must not reach before the answer does. */
function noRequest(clock: TestClock): Promise<void> {
  return expect.poll(() => clock.pending, { interval: 1 }).toBe(0)
}

describe('M10 expires_in', () => {
  const kept = [
    { name: 'a number', expiresIn: 600, lifetimeMs: 10 * MINUTE },
    { name: 'F3.01 digits in a string', expiresIn: '600', lifetimeMs: 10 * MINUTE },
    { name: 'N1.13 missing: five minutes', expiresIn: undefined, lifetimeMs: 5 * MINUTE },
    { name: 'F3.04 huge: cut to a day', expiresIn: 1e15, lifetimeMs: 24 * HOUR },
    { name: 'F3.04 a hundred years: cut to a day', expiresIn: 31_536_000 * 100, lifetimeMs: 24 * HOUR },
  ]
  for (const { name, expiresIn, lifetimeMs } of kept) {
    test(`M10 ${name}`, async ({ manage, server, clock }) => {
      server.answer = tokenJson({ expires_in: expiresIn })
      const tokens = manage()
      const start = clock.now()
      expect((await tokens.getToken('api')).expiresAt).toBe(start + lifetimeMs)
      expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    })
  }

  const unkept = [0, -5, 0.4, 'abc', '36abc', '', true, null, [3600], {}]
  for (const expiresIn of unkept) {
    test(`M10 F3.02 F3.03 ${JSON.stringify(expiresIn)}: for the waiting callers only`, async ({
      manage,
      server,
      clock,
      recorder,
    }) => {
      server.answer = tokenJson({ expires_in: expiresIn })
      const tokens = manage()
      const waiting = await Promise.all([tokens.getToken('api'), tokens.getToken('api')])
      expect(waiting.map(({ accessToken, expiresAt }) => [accessToken, expiresAt])).toEqual([
        ['token-1', 0],
        ['token-1', 0],
      ])
      expect(recorder.events).toEqual([{ name: 'lifetime_invalid', client: 'api' }])
      const next = tokens.getToken('api')
      await clock.advance(100)
      expect((await next).accessToken).toBe('token-2')
    })
  }

  test('M10 F3.02 1e400 is no lifetime', async ({ manage, server }) => {
    server.answer = () => ({ body: '{"access_token":"a","token_type":"bearer","expires_in":1e400}' })
    expect((await manage().getToken('api')).expiresAt).toBe(0)
  })

  test('F3.03 a server that gives tokens without life is asked at most ten times a second', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = tokenJson({ expires_in: 0 })
    const tokens = manage()
    const start = clock.now()
    let answered = 0
    for (let call = 0; call < 100; call++) {
      tokens.getToken('api').then(() => answered++)
      await clock.advance(10)
    }
    await expect
      .poll(async () => {
        await clock.advance(10)
        return answered
      })
      .toBe(100)
    expect(server.requests.length).toBeLessThanOrEqual((clock.now() - start) / 100 + 1)
  })

  test('M10 the assumed and the longest lifetime can be configured', async ({ manage, server, clock }) => {
    server.answer = ({ n }) => tokenJson({ expires_in: n === 1 ? undefined : 7200 })({ n } as never)
    const tokens = manage({ lifetime: { assumedMs: MINUTE, maximumMs: HOUR } })
    const start = clock.now()
    expect((await tokens.getToken('api')).expiresAt - start).toBe(MINUTE)
    expect((await tokens.getToken('api', { scope: 'x' })).expiresAt - start).toBe(HOUR)
  })
})

describe('M11 F3 clocks', () => {
  test('M11 F3.10 a lifetime counts from the moment the request left', async ({ manage, server, clock }) => {
    let release = (_: Answer): void => {}
    server.answer = () =>
      new Promise<Answer>((resolve) => {
        release = resolve
      })
    const sentAt = clock.now()
    const pending = manage().getToken('api')
    await server.nextRequest()
    await clock.advance(8000)
    release({ body: JSON.stringify({ access_token: 'late', token_type: 'bearer', expires_in: 60 }) })
    expect((await pending).expiresAt).toBe(sentAt + 60_000)
  })

  test('F3.11 expiry is looked at again when the token is attached', async ({ manage, elsewhere, clock }) => {
    elsewhere.answer = ({ headers }) => ({ body: JSON.stringify(headers.authorization) })
    let looks = Number.NEGATIVE_INFINITY
    // After the source has looked, the event loop stands still for an hour.
    const now = () => clock.now() + (looks++ >= 1 ? HOUR : 0)
    const tokens = manage({}, { clock: { now, wallTime: clock.wallTime, setTimer: clock.setTimer } })
    const call = tokens.fetch('api', { baseUrl: elsewhere.origin })
    expect(await (await call('x')).json()).toBe('Bearer token-1')
    looks = 0
    expect(await (await call('x')).json()).toBe('Bearer token-2')
  })
})

describe('M12 edges', () => {
  test('M12 soft edge: the token is renewed behind, the current one is handed out, nobody waits', async ({
    manage,
    server,
    clock,
  }) => {
    const tokens = manage()
    await tokens.getToken('api')
    await clock.advance(54 * MINUTE - 16_000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    await settle()
    // From 5 min and a quarter of it, for the jitter, before expiry.
    await clock.advance(MINUTE + 16_000)
    const renewing = server.nextRequest()
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    await renewing
    await expect.poll(async () => (await tokens.getToken('api')).accessToken).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  test('M12 soft edges of a fleet are spread over at least a fifth of the window', async ({ server, clock }) => {
    const names = Array.from({ length: 200 }, (_, i) => `client-${i}`)
    const tokens = createTokenManager({
      clock,
      clients: Object.fromEntries(names.map((name) => [name, clientOf(server)])),
    })
    await Promise.all(names.map((name) => tokens.getToken(name)))
    const renewedAt: number[] = []
    server.answer = (request) => {
      renewedAt.push(clock.now())
      return tokenJson()(request)
    }
    await clock.advance(HOUR - 7 * MINUTE)
    for (let second = 0; second < 150; second += 5) {
      await clock.advance(5000)
      await Promise.all(names.map((name) => tokens.getToken(name)))
      await noRequest(clock)
    }
    expect(renewedAt).toHaveLength(names.length)
    expect(Math.max(...renewedAt) - Math.min(...renewedAt)).toBeGreaterThanOrEqual(MINUTE * 0.8)
    await tokens.close()
  })

  test('M12 hard edge: callers wait for the renewal', async ({ manage, server, clock }) => {
    const tokens = manage()
    await tokens.getToken('api')
    await clock.advance(HOUR - 10_000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })

  for (const seconds of [1, 2, 3, 5, 10, 59, 300, 3600, 86_400]) {
    test(`M12 F3.05 ${seconds} s: at most two token requests per lifetime`, async ({ manage, server, clock }) => {
      server.answer = tokenJson({ expires_in: seconds })
      const tokens = manage()
      const lifetimes = 5
      const steps = 50
      const start = clock.now()
      for (let step = 0; step < lifetimes * steps; step++) {
        const token = await tokens.getToken('api')
        expect(token.expiresAt).toBeGreaterThan(clock.now())
        await noRequest(clock)
        await clock.advance((seconds * 1000) / steps)
      }
      const passed = (clock.now() - start) / (seconds * 1000)
      expect(server.requests.length).toBeLessThanOrEqual(passed * 2)
      expect(server.requests.length).toBeGreaterThanOrEqual(lifetimes - 1)
    })
  }

  test('M12 ten years: one request in a day', async ({ manage, server, clock }) => {
    server.answer = tokenJson({ expires_in: 315_360_000 })
    const tokens = manage()
    for (let hour = 0; hour < 23; hour++) {
      await tokens.getToken('api')
      await clock.advance(HOUR)
    }
    expect(server.requests).toHaveLength(1)
  })

  test('M12 both edges can be configured', async ({ manage, server, clock }) => {
    const tokens = manage({ lifetime: { renewBeforeMs: 0, waitBeforeMs: 0 } })
    await tokens.getToken('api')
    await clock.advance(HOUR - 1)
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    await clock.advance(1)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
    expect(server.requests).toHaveLength(2)
  })
})

describe('M13 the server is down', () => {
  test('M13 F1.01 the current token is served until it really expires, then a typed error', async ({
    manage,
    server,
    clock,
    recorder,
  }) => {
    const tokens = manage()
    const { expiresAt } = await tokens.getToken('api')
    await server.shut()
    while (clock.now() < expiresAt - 1) {
      expect((await tokens.getToken('api')).accessToken).toBe('token-1')
      await clock.advance(Math.min(30_000, expiresAt - 1 - clock.now()))
    }
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    await clock.advance(1)
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ name: 'TransportError', retryable: true })
    expect(recorder.events.filter(({ name }) => name === 'renewal_failed').length).toBeGreaterThan(1)
    await server.reopen()
    server.answer = tokenJson()
    await clock.advance(1000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-2')
  })

  test('M13 F4.06 a failed early renewal is tried again after a pause, not on every call', async ({
    manage,
    server,
    clock,
  }) => {
    const tokens = manage()
    await tokens.getToken('api')
    await clock.advance(HOUR - 4 * MINUTE)
    server.answer = () => errorJson(503, 'temporarily_unavailable', {})
    for (let call = 0; call < 1000; call++) {
      expect((await tokens.getToken('api')).accessToken).toBe('token-1')
      await clock.advance(10)
    }
    // Ten seconds with pauses of 1, 2, 4, 8 s at the most, three tries each.
    expect(server.requests.length - 1).toBeLessThanOrEqual(6 * 3)
  })

  test('M13 F4.04 a permanent error costs at most 12 requests a minute at 100 calls a second', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => errorJson(401, 'invalid_client')
    const tokens = manage()
    for (let call = 0; call < 6000; call++) {
      expect((await rejection(tokens.getToken('api'))).code).toBe('client_refused')
      await clock.advance(10)
    }
    expect(server.requests.length).toBeLessThanOrEqual(12)
    expect(server.requests.length).toBeGreaterThanOrEqual(11)
  })

  test('F4.04 while the secret is wrong, the cached token goes on', async ({ manage, server, clock }) => {
    const tokens = manage()
    await tokens.getToken('api')
    await clock.advance(HOUR - 4 * MINUTE)
    server.answer = () => errorJson(401, 'invalid_client')
    for (let second = 0; second < 30; second++) {
      expect((await tokens.getToken('api')).accessToken).toBe('token-1')
      await clock.advance(1000)
    }
    expect(server.requests.length - 1).toBeLessThanOrEqual(6)
    server.answer = tokenJson()
    await clock.advance(5000)
    await tokens.getToken('api')
    await expect.poll(async () => (await tokens.getToken('api')).accessToken).not.toBe('token-1')
  })

  const retryAfter = [
    { name: 'seconds', value: () => '7', waitMs: 7000 },
    { name: 'a date', value: (now: number) => new Date(now + 9000).toUTCString(), waitMs: 9000 },
    { name: 'far too long: a minute', value: () => '1000000000', waitMs: MINUTE },
  ]
  for (const { name, value, waitMs } of retryAfter) {
    test(`M13 F4.01 429 with Retry-After as ${name}: nobody asks before`, async ({ manage, server, clock }) => {
      const refusedAt = clock.now()
      server.answer = () => ({ status: 429, headers: { 'retry-after': value(clock.wallTime()) }, body: '' })
      const tokens = manage()
      const errors = await Promise.all(Array.from({ length: 1000 }, () => rejection(tokens.getToken('api'))))
      expect(errors[0]).toMatchObject({ code: 'rate_limited', status: 429, retryAt: refusedAt + waitMs })
      await clock.advance(waitMs - 1)
      await rejection(tokens.getToken('api', { clientAssertion: { type: 't', value: 'own' } }))
      await rejection(tokens.getToken('api'))
      expect(server.requests).toHaveLength(1)
      server.answer = tokenJson()
      await clock.advance(1)
      expect((await tokens.getToken('api')).accessToken).toBe('token-2')
    })
  }

  for (const value of ['-5', 'soon', '', '0']) {
    test(`F4.01 429 with Retry-After "${value}": the usual pauses`, async ({ manage, server }) => {
      server.answer = () => ({ status: 429, headers: { 'retry-after': value }, body: '' })
      expect((await rejection(manage().getToken('api'))).retryAt).toBeUndefined()
    })
  }
})

describe('F4 errors and retries', () => {
  for (const status of [500, 502, 503, 504]) {
    test(`F4.02 ${status}: up to two more tries, within the deadline`, async ({ manage, server, clock }) => {
      server.answer = (request) =>
        request.n <= 2 ? { status, body: '<html>', headers: { 'content-type': 'text/html' } } : tokenJson()(request)
      const pending = manage().getToken('api')
      await expect
        .poll(async () => {
          await clock.advance(400)
          return server.requests.length
        })
        .toBe(3)
      expect((await pending).accessToken).toBe('token-3')
    })
  }

  test('F1.09 a connection that was lost is tried again at once', async ({ manage, server }) => {
    server.answer = (request) => (request.n === 1 ? reset : tokenJson()(request))
    expect((await manage().getToken('api')).accessToken).toBe('token-2')
  })

  test('F4.07 a thousand callers share one failure, each with an error of its own', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = () => errorJson(400, 'invalid_scope', { error_description: 'no' })
    const tokens = manage()
    const errors = await Promise.all(Array.from({ length: 1000 }, () => rejection(tokens.getToken('api'))))
    expect(new Set(errors).size).toBe(1000)
    expect(new Set(errors.map(({ message, code, status }) => `${message} ${code} ${status}`)).size).toBe(1)
    expect(server.requests).toHaveLength(1)
    await clock.advance(5000)
    await rejection(tokens.getToken('api'))
    expect(server.requests).toHaveLength(2)
  })

  test('F4.07 after a first passing failure the next call may try at once', async ({ manage, server }) => {
    await server.shut()
    const tokens = manage()
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ code: 'unreachable' })
    await server.reopen()
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
  })

  test('F4.05 a server that fails every other time sees at most twice its normal rate', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = (request) =>
      request.n % 2 === 1 ? errorJson(429, 'slow_down') : tokenJson({ expires_in: 10 })(request)
    const tokens = manage()
    let lifetimes = 0
    let last = ''
    for (let call = 0; call < 300 * 20; call++) {
      const token = await tokens.getToken('api').catch(() => undefined)
      if (token !== undefined && token.accessToken !== last) {
        lifetimes++
        last = token.accessToken
      }
      await clock.advance(50)
    }
    expect(lifetimes).toBeGreaterThan(20)
    // The last renewal, its failure before it included, may have ended with nobody asking yet.
    expect(server.requests.length).toBeLessThanOrEqual((lifetimes + 1) * 2)
  })

  test('F4.05 the circuit lets one probe a second through and closes at the first success', async ({
    server,
    clock,
  }) => {
    await server.shut()
    const tokens = createTokenManager({ clock, clients: { api: clientOf(server) } })
    const errors: string[] = []
    for (let key = 0; key < 100; key++) {
      errors.push((await rejection(tokens.getToken('api', { partition: String(key) }))).code as string)
    }
    expect(errors.filter((code) => code === 'unreachable')).toHaveLength(5)
    expect(errors.filter((code) => code === 'circuit_open')).toHaveLength(95)
    await server.reopen()
    await clock.advance(1000)
    await tokens.getToken('api', { partition: 'probe' })
    const rest = await Promise.all(
      Array.from({ length: 100 }, (_, key) => tokens.getToken('api', { partition: `new ${key}` })),
    )
    expect(rest).toHaveLength(100)
    await tokens.close()
  })

  test('F1.11 an open circuit concerns one server only', async ({ server, elsewhere, clock }) => {
    await server.shut()
    const tokens = createTokenManager({ clock, clients: { down: clientOf(server), up: clientOf(elsewhere) } })
    for (let key = 0; key < 20; key++) await rejection(tokens.getToken('down', { partition: String(key) }))
    expect((await tokens.getToken('up')).accessToken).toBe('token-1')
    await tokens.close()
  })

  test('F1.11 of two nodes behind one name, one always failing, the other serves', async ({
    manage,
    server,
    clock,
  }) => {
    server.answer = (request) => (request.n % 2 === 0 ? { status: 500 } : tokenJson()(request))
    const tokens = manage()
    const all: string[] = []
    for (let key = 0; key < 20; key++) {
      const pending = tokens
        .getToken('api', { partition: String(key) })
        .then(({ accessToken }) => all.push(accessToken))
      await expect
        .poll(async () => {
          await clock.advance(400)
          return all.length
        })
        .toBe(key + 1)
      await pending
    }
    expect(all).toHaveLength(20)
  })

  test('F4.09 a store that throws or rejects is passed over', async ({ manage, recorder }) => {
    const broken = {
      get: () => {
        throw new Error('broken')
      },
      set: async () => {
        throw new Error('broken')
      },
      delete: () => {
        throw new Error('broken')
      },
    }
    const tokens = manage({}, { store: broken })
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    await tokens.delete('api')
    const ofCall = ['store.get Error', 'store.set Error']
    expect(recorder.failures).toEqual([...ofCall, 'store.get Error', 'store.delete Error', 'store.set Error'])
    expect(recorder.events).toEqual([{ name: 'store_down', store: 'tokens', access: 'write', error: 'Error' }])
  })

  test('F4.10 100,000 calls during an outage leave nothing behind', async ({ manage, server, clock }) => {
    await server.shut()
    const tokens = manage()
    for (let round = 0; round < 100; round++) {
      await Promise.allSettled(Array.from({ length: 1000 }, () => tokens.getToken('api')))
      await clock.advance(10)
    }
    expect(clock.pending).toBe(0)
    await server.reopen()
    await clock.advance(1000)
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
  })
})

describe('T2 refused tokens', () => {
  test('fifty staggered 401s for one rejected token: one renewal', async ({ manage, server }) => {
    const tokens = manage()
    const rejected = await tokens.getToken('api')
    const others = await Promise.all(Array.from({ length: 25 }, () => tokens.getToken('api', {}, { rejected })))
    for (let straggler = 0; straggler < 25; straggler++) others.push(await tokens.getToken('api', {}, { rejected }))
    expect(new Set(others.map(({ accessToken }) => accessToken))).toEqual(new Set(['token-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('a server that rejects for ever: renewals are bounded', async ({ manage, server, clock }) => {
    const tokens = manage()
    let token = await tokens.getToken('api')
    for (let call = 0; call < 6000; call++) {
      token = await tokens.getToken('api', {}, { rejected: token })
      await clock.advance(10)
    }
    // At 0, 1, 3, 7, 15, 31 s.
    expect(server.requests.length - 1).toBeLessThanOrEqual(6)
  })

  test('a refused token is served to others while its renewal fails', async ({ manage, server }) => {
    const tokens = manage()
    const rejected = await tokens.getToken('api')
    server.answer = () => errorJson(400, 'invalid_scope')
    expect((await rejection(tokens.getToken('api', {}, { rejected }))).error).toBe('invalid_scope')
    expect((await tokens.getToken('api')).accessToken).toBe('token-1')
  })
})

describe('F8 life cycle', () => {
  test('F8.01 M16 the process starts while server and store are down, and recovers without a restart', async ({
    manage,
    server,
    clock,
  }) => {
    await server.shut()
    const tokens = manage(
      { tokenEndpoint: undefined, issuer: server.origin },
      {
        store: {
          get: () => Promise.reject(new Error('down')),
          set: () => Promise.reject(new Error('down')),
          delete: () => {},
        },
      },
    )
    expect((await rejection(tokens.getToken('api'))).code).toBe('unreachable')
    await server.reopen()
    server.answer = (request) =>
      request.url === '/token'
        ? tokenJson()(request)
        : { body: JSON.stringify({ issuer: server.origin, token_endpoint: server.tokenEndpoint }) }
    await clock.advance(1000)
    expect((await tokens.getToken('api')).tokenType).toBe('Bearer')
  })

  test('F8.02 close lets calls in flight finish, refuses new ones, and may be called twice', async ({
    manage,
    server,
    clock,
  }) => {
    const tokens = manage()
    const calls = Array.from({ length: 500 }, (_, i) => tokens.getToken('api', { partition: String(i % 10) }))
    await server.nextRequest()
    const closing = [tokens.close(), tokens.close()]
    expect(await rejection(tokens.getToken('api'))).toMatchObject({ name: 'ConfigurationError', code: 'closed' })
    expect(await Promise.all(calls)).toHaveLength(500)
    await Promise.all(closing)
    expect((await rejection(tokens.getToken('api', { partition: '1' }))).code).toBe('closed')
    expect((await rejection(tokens.revoke('api'))).code).toBe('closed')
    expect(clock.pending).toBe(0)
  })

  test('F8.02 close ends a renewal behind the callers', async ({ manage, server, clock }) => {
    const tokens = manage()
    await tokens.getToken('api')
    await clock.advance(HOUR - 4 * MINUTE)
    server.answer = () => hang
    const renewing = server.nextRequest()
    await tokens.getToken('api')
    await renewing
    await tokens.close()
    expect(clock.pending).toBe(0)
  })
})

describe('a shared store', () => {
  test('A1.04 two managers share one token request, but not across issuers or clients', async ({
    server,
    elsewhere,
  }) => {
    const store = memoryStore()
    const manager = (at: typeof server, members = {}) =>
      createTokenManager({ store, clients: { api: clientOf(at, members) } })
    const first = await manager(server).getToken('api')
    const second = await manager(server).getToken('api')
    expect(second.accessToken).toBe(first.accessToken)
    await manager(server, { clientId: 'other' }).getToken('api')
    await manager(elsewhere).getToken('api')
    expect([server.requests.length, elsewhere.requests.length]).toEqual([2, 1])
  })

  test('a token that another process has renewed is found before a request is made', async ({ server }) => {
    const store = memoryStore()
    const manager = () => createTokenManager({ store, clients: { api: clientOf(server) } })
    const [a, b] = [manager(), manager()]
    const old = await a.getToken('api')
    await b.getToken('api')
    const renewed = await a.getToken('api', {}, { rejected: old })
    expect((await b.getToken('api', {}, { rejected: old })).accessToken).toBe(renewed.accessToken)
    expect(server.requests).toHaveLength(2)
  })

  for (const entry of ['', 'x', '{}', 'null', '{"version":1,"accessToken":7}', '{"version":2}']) {
    test(`an entry that is ${entry || 'empty'} counts as missing`, async ({ manage }) => {
      const tokens = manage({}, { store: { get: () => entry, set: () => {}, delete: () => {} } })
      expect((await tokens.getToken('api')).accessToken).toBe('token-1')
    })
  }

  test('a store that hangs is left after 250 ms', async ({ manage, clock }) => {
    const tokens = manage({}, { store: { get: () => new Promise(() => {}), set: () => {}, delete: () => {} } })
    const pending = tokens.getToken('api')
    // The request's deadline, and the store's.
    await clock.untilPending(2)
    await clock.advance(250)
    expect((await pending).accessToken).toBe('token-1')
  })
})
