import { clientSecretBasic, localLock, memoryStore, type TokenStore } from 'evertoken'
import { createUserTokenManager, type LoginResponse, type SessionTokens } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { cookieWorld, found } from '../support/carried-sessions.ts'
import {
  type Browser,
  type CookieApp,
  type CookieAppOptions,
  createBrowser,
  type Page,
  startCookieApp,
} from '../support/cookie-app.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { test as base, clientOf, rejection } from '../support/fixtures.ts'
import { createRotatingServer, type RotatingServer } from '../support/rotating-server.ts'
import { createTestClock, type TestClock } from '../support/test-clock.ts'
import { createGate } from '../support/user-fleet.ts'

const HOUR = 3_600_000
const GRACE = 60_000

/** An application of several processes, and its authorization server. */
interface Fleet {
  readonly rotating: RotatingServer
  readonly apps: readonly [CookieApp, CookieApp, CookieApp, CookieApp]
  /** One more process, which has just been started. */
  restarted(): Promise<CookieApp>
  /** The generation of the set in these cookies. */
  generationIn(header: string): Promise<number | undefined>
}

/** `test` with applications whose sessions are in cookies; they are gone after it. */
const test = base.extend<{ readonly startFleet: (options?: Partial<CookieAppOptions>) => Promise<Fleet> }>({
  startFleet: async ({ server, clock, recorder }, use) => {
    const started: CookieApp[] = []
    await use(async (options = {}) => {
      const rotating = createRotatingServer()
      const metadata = {
        issuer: server.origin,
        token_endpoint: server.tokenEndpoint,
        revocation_endpoint: `${server.origin}/revoke`,
      }
      server.answer = (request) =>
        request.method === 'GET' ? { body: JSON.stringify(metadata) } : rotating.answer(request)
      const clients = { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) }
      const shared = { store: memoryStore({ clock }), lock: localLock(), telemetry: recorder, login: rotating.login }
      const start = async (): Promise<CookieApp> => {
        const app = await startCookieApp({ clients, clock, ...shared, ...options })
        started.push(app)
        return app
      }
      const apps = await Promise.all([start(), start(), start(), start()])
      return {
        rotating,
        apps,
        restarted: start,
        generationIn: async (header) => (await (await apps[0].sessions.fromRequest(header)).load())?.generation,
      }
    })
    let isClosed = false
    const closing = Promise.all(started.map((app) => app[Symbol.asyncDispose]())).then(() => {
      isClosed = true
    })
    // A test that failed may have left a refresh behind that waits for time to pass.
    for (let turn = 0; turn < 20 && !isClosed; turn++) await clock.advance(10_000)
    await closing
  },
})

const newestOf = (pages: readonly Page[]) => {
  const jar = createCookieJar()
  for (const { setCookies } of pages) jar.take(setCookies)
  return jar.header
}

describe('F5.12 S6 a fleet, cookies and a server that rotates refresh tokens', () => {
  test('F5.12 S6 4 processes, 100 users, two tabs each, 10,000 calls, everything expired in the same second: one refresh for each user', async ({
    startFleet,
    server,
    clock,
    recorder,
  }) => {
    const fleet = await startFleet()
    const { apps, rotating } = fleet
    const users = Array.from({ length: 100 }, (_, n) => ({ name: `user${n}`, browser: createBrowser() }))
    await Promise.all(
      users.map(({ name, browser }, n) => browser.open(apps[n % 4] as CookieApp, `/login?user=${name}`)),
    )
    for (let round = 1; round <= 5; round++) {
      await clock.advance(HOUR)
      const pages = await Promise.all(
        users.map(async ({ name, browser }) => {
          const before = browser.jar.header
          // Two tabs, ten requests each, at all processes.
          const calls = Array.from({ length: 20 }, (_, n) => browser.open(apps[n % 4] as CookieApp, '/call'))
          return { name, before, browser, pages: await Promise.all(calls) }
        }),
      )
      for (const { name, before, browser, pages: got } of pages) {
        expect(new Set(got.map(({ status, body }) => `${status} ${body}`))).toEqual(
          new Set([`200 access-${name}-${round}`]),
        )
        expect(rotating.refreshes.get(name)).toBe(round)
        // A1.10 No cache that others share keeps any of them.
        expect(new Set(got.map(({ headers }) => headers.get('cache-control')))).toEqual(new Set(['private, no-store']))
        // Every response to a request that came with the cookie of before brings the one of now.
        const late = got.filter(({ sent }) => sent === before)
        const generations = await Promise.all(late.map((page) => fleet.generationIn(newestOf([page]))))
        const generation = await fleet.generationIn(browser.jar.header)
        expect(new Set(generations)).toEqual(new Set([generation]))
        // And no other response brings anything.
        expect(got.filter(({ sent, setCookies }) => sent !== before && setCookies.length > 0)).toEqual([])
      }
    }
    expect(rotating.reuses).toBe(0)
    expect(server.requests.filter(({ url }) => url === '/token')).toHaveLength(500)
    expect(recorder.events.filter(({ name }) => name !== 'session_updated')).toEqual([])
  }, 120_000)

  test('F5.12 without a store: one process has one refresh for all of them, and the newest cookie for each', async ({
    startFleet,
    clock,
  }) => {
    const fleet = await startFleet({ store: undefined })
    const { apps, rotating } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    await clock.advance(HOUR)
    const old = createBrowser(browser.jar)
    const pages = await Promise.all(Array.from({ length: 20 }, () => browser.open(apps[0], '/call')))
    expect(new Set(pages.map(({ body }) => body))).toEqual(new Set(['access-alice-1']))
    // Beyond the grace as well, for as long as the process remembers.
    await clock.advance(2 * GRACE)
    const page = await old.open(apps[0], '/call')
    expect(page.body).toBe('access-alice-1')
    expect(await fleet.generationIn(old.jar.header)).toBe(await fleet.generationIn(browser.jar.header))
    expect(rotating.reuses).toBe(0)
  })
})

/** A browser that a late response has given an older cookie back: one refresh later than the sign-in, while the server is two ahead. */
async function overtaken({ apps }: Fleet, clock: TestClock): Promise<Browser> {
  const browser = createBrowser()
  await browser.open(apps[0], '/login?user=alice')
  await clock.advance(HOUR)
  const [one, other] = await Promise.all([
    browser.openLate(apps[0], '/call?resource=urn:a'),
    browser.openLate(apps[1], '/call?resource=urn:b'),
  ])
  const [first, second] = one.body.includes('alice-1') ? [one, other] : [other, one]
  expect([first.body, second.body].map((body) => body.slice(0, 14))).toEqual(['access-alice-1', 'access-alice-2'])
  for (const { setCookies } of [second, first]) browser.jar.take(setCookies)
  return browser
}

describe('A6.07 a Set-Cookie that comes late', () => {
  test('A6.07 within the grace any process finds what came after, and brings it back with the next response', async ({
    startFleet,
    clock,
  }) => {
    const fleet = await startFleet()
    const { apps, rotating } = fleet
    const browser = await overtaken(fleet, clock)
    const before = await fleet.generationIn(browser.jar.header)
    await clock.advance(GRACE - 1)
    // Its own token in the older cookie is still good: that is no reason to leave the cookie as it is.
    const page = await browser.open(await fleet.restarted(), '/call?resource=urn:a')
    expect(page).toMatchObject({ status: 200, body: 'access-alice-1-urn:a' })
    expect(await fleet.generationIn(browser.jar.header)).toBe(Number(before) + 1)
    await clock.advance(HOUR)
    expect(await browser.open(apps[3], '/call')).toMatchObject({ status: 200, body: 'access-alice-3' })
    expect(rotating.reuses).toBe(0)
  })

  test('A6.07 beyond the grace a process that knows nothing of it asks for a sign-in, once, and the next sign-in works', async ({
    startFleet,
    server,
    clock,
  }) => {
    const fleet = await startFleet()
    const { rotating } = fleet
    const browser = await overtaken(fleet, clock)
    await clock.advance(HOUR)
    const app = await fleet.restarted()
    const requests = server.requests.length
    expect(await browser.open(app, '/call')).toMatchObject({ status: 401, body: 'sign_in_required' })
    // The cookie says why from now on.
    const again = await Promise.all(Array.from({ length: 5 }, () => browser.open(app, '/call')))
    expect(new Set(again.map(({ status, body }) => `${status} ${body}`))).toEqual(new Set(['401 sign_in_required']))
    expect(server.requests.slice(requests).filter(({ url }) => url === '/token')).toHaveLength(1)
    expect(rotating.reuses).toBe(1)
    await browser.open(app, '/login?user=alice')
    expect(await browser.open(fleet.apps[2], '/call')).toMatchObject({ status: 200, body: 'access-alice-0' })
  })

  test('A6.07 a tab that has slept with its cookie for less than the grace gets the token of now', async ({
    startFleet,
    clock,
  }) => {
    const fleet = await startFleet()
    const { apps, rotating } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    await clock.advance(HOUR)
    const other = createBrowser(browser.jar)
    await browser.open(apps[0], '/call')
    await clock.advance(GRACE - 1)
    expect(await other.open(apps[1], '/call')).toMatchObject({ status: 200, body: 'access-alice-1' })
    expect(await fleet.generationIn(other.jar.header)).toBe(await fleet.generationIn(browser.jar.header))
    expect(rotating.refreshes.get('alice')).toBe(1)
  })
})

describe('F7.05 S6 the store that the processes share is down', () => {
  /** One that can be switched off. */
  const switchable = (clock: TestClock) => {
    const shared = memoryStore({ clock })
    const state = { isDown: false }
    const reached = (): TokenStore => {
      if (state.isDown) throw new Error('the store is down')
      return shared
    }
    const store: TokenStore = {
      get: async (key) => reached().get(key),
      set: async (key, value, until) => reached().set(key, value, until),
      delete: async (key) => reached().delete(key),
    }
    return { state, store }
  }

  test('S6 nobody spends a refresh token that another process may have spent; what is good is used, and it goes on afterwards', async ({
    startFleet,
    server,
    clock,
  }) => {
    const { state, store } = switchable(clock)
    const { apps, rotating, generationIn } = await startFleet({ store })
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    state.isDown = true
    expect(await browser.open(apps[1], '/call')).toMatchObject({ status: 200, body: 'access-alice-0' })
    await clock.advance(HOUR)
    const requests = server.requests.length
    const pages = await Promise.all(apps.map((app) => browser.open(app, '/call')))
    for (const page of pages) expect(page).toMatchObject({ status: 500, body: 'coordination_unavailable' })
    expect(server.requests.slice(requests).filter(({ url }) => url === '/token')).toEqual([])

    state.isDown = false
    await clock.advance(HOUR)
    const later = await Promise.all(apps.map((app) => browser.openLate(app, '/call')))
    for (const page of later) expect(page).toMatchObject({ status: 200, body: 'access-alice-1' })
    expect(await generationIn(newestOf(later))).toBeGreaterThan(Number(await generationIn(browser.jar.header)))
    expect(rotating.refreshes.get('alice')).toBe(1)
    expect(rotating.reuses).toBe(0)
  })
})

test('F7.05 S6 a store that takes its time, as it does on a machine that has much to do, costs no call', async ({
  startFleet,
  clock,
}) => {
  const shared = memoryStore({ clock })
  let hold = async (): Promise<void> => {}
  const store: TokenStore = {
    get: (key) => shared.get(key),
    delete: (key) => shared.delete(key),
    async set(key, value, expiresAt) {
      await hold()
      await shared.set(key, value, expiresAt)
    },
  }
  const { apps } = await startFleet({ store })
  const browser = createBrowser()
  await browser.open(apps[0], '/login?user=alice')
  await clock.advance(HOUR)
  const [asked, answered] = [createGate(), createGate()]
  hold = () => {
    asked.open()
    return answered.opened
  }
  const page = browser.open(apps[0], '/call')
  await asked.opened
  await clock.advance(900)
  answered.open()
  expect(await page).toMatchObject({ status: 200, body: 'access-alice-1' })
})

test('F5.12 a request that has its token already brings its browser what another one has refreshed meanwhile', async ({
  server,
  clock,
}) => {
  const rotating = createRotatingServer()
  server.answer = rotating.answer
  const world = cookieWorld({}, clock)
  const tokens = createUserTokenManager({ clients: { web: clientOf(server) }, clock })
  const first = await world.sessions.fromRequest(undefined)
  await tokens.forSession('web', first).adopt(rotating.login('alice'))
  const jar = createCookieJar()
  jar.take(first.setCookies)
  const [one, other] = [await world.sessions.fromRequest(jar.header), await world.sessions.fromRequest(jar.header)]
  const source = tokens.forSession('web', one).source()
  expect((await source.getToken()).accessToken).toBe('access-alice-0')
  expect(one.setCookies).toEqual([])
  await tokens.forSession('web', other).source().getToken({ forceRenewal: true })
  expect((await source.getToken()).accessToken).toBe('access-alice-1')
  for (const { setCookies } of [one, other]) {
    jar.take(setCookies)
    expect((await found(world, jar.header)).session.id).toBe(first.id)
    expect((await (await world.sessions.fromRequest(jar.header)).load())?.refreshToken).toBe('refresh-alice-1')
    jar.cookies.clear()
  }
  await tokens.close()
})

describe('A6.01 sign-in', () => {
  test('A6.01 gets an id that nobody had, and who has planted the cookie of a session gets nothing of it', async ({
    startFleet,
    clock,
  }) => {
    const fleet = await startFleet()
    const { apps } = fleet
    const attacker = createBrowser()
    await attacker.open(apps[0], '/login?user=mallory')
    const victim = createBrowser(attacker.jar)
    await clock.advance(1000)
    await victim.open(apps[0], '/login?user=alice')
    expect(await victim.open(apps[0], '/call')).toMatchObject({ body: 'access-alice-0' })
    const ids = await Promise.all(
      [attacker, victim].map(async ({ jar }) => (await apps[0].sessions.fromRequest(jar.header)).id),
    )
    expect(new Set(ids).size).toBe(2)
    for (const app of apps) expect((await attacker.openLate(app, '/call')).body).not.toContain('alice')
    // The session that was there has no part in the browser any more; its process knows.
    expect(await attacker.openLate(apps[0], '/call')).toMatchObject({ status: 401 })
    await clock.advance(HOUR)
    for (const app of apps) expect((await attacker.openLate(app, '/call')).body).not.toContain('alice')
    expect(await victim.open(apps[1], '/call')).toMatchObject({ body: 'access-alice-1' })
  })

  test('A6.01 a refresh that is under way for the session before reaches neither the browser nor the new session', async ({
    startFleet,
    server,
    clock,
  }) => {
    const fleet = await startFleet()
    const { apps } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=bob')
    await clock.advance(HOUR)
    const answer = server.answer
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    server.answer = async (request) => {
      if (request.url === '/token') await opened
      return answer(request)
    }
    const asked = (async () => {
      for (;;) if ((await server.nextRequest()).url === '/token') return
    })()
    const calls = [apps[0], apps[1]].map((app) => browser.openLate(app, '/call'))
    await asked
    await browser.open(apps[0], '/login?user=alice')
    open()
    for (const page of await Promise.all(calls)) {
      expect(page).toMatchObject({ status: 401, setCookies: [] })
    }
    expect(await browser.open(apps[0], '/call')).toMatchObject({ body: 'access-alice-0' })
  })
})

describe('A6.01 a sign-in beside a refresh in one request', () => {
  test('A6.01 the tokens of the user before end, and those of the new one go on under the same object', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const { sessions } = cookieWorld({}, clock)
    const shared = memoryStore({ clock })
    let hold: (() => Promise<void>) | undefined
    const store: TokenStore = {
      get: (key) => shared.get(key),
      delete: (key) => shared.delete(key),
      async set(key, value, expiresAt) {
        await hold?.()
        await shared.set(key, value, expiresAt)
      },
    }
    const tokens = createUserTokenManager({ clients: { web: clientOf(server) }, clock, store })
    const session = await sessions.fromRequest(undefined)
    const user = tokens.forSession('web', session)
    await user.adopt(rotating.login('bob'))
    await clock.advance(HOUR)

    // The refresh is held between the answer and the browser, for as long as the sign-in takes.
    let writes = 0
    let signIn: Promise<void> | undefined
    hold = async () => {
      // The first one says that a refresh begins.
      if (++writes !== 2) return
      signIn = user.adopt(rotating.login('alice'))
      await signIn
    }
    const error = await rejection(user.source().getToken())
    expect(signIn).toBeDefined()
    expect(error).toMatchObject({ name: 'SessionError', reason: 'signed_out' })
    expect((await user.source().getToken()).accessToken).toBe('access-alice-0')
    expect((await session.load())?.subject).toBe('alice')
    await tokens.close()
  })

  test('A6.01 what a refresh finds over after a sign-in beside it is not the new session', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const { sessions } = cookieWorld({}, clock)
    const inner = memoryStore({ clock })
    const [reached, goOn] = [createGate(), createGate()]
    let isArmed = false
    const store: TokenStore = {
      async get(key) {
        if (isArmed) {
          isArmed = false
          reached.open()
          await goOn.opened
        }
        return inner.get(key)
      },
      set: (key, value, until) => inner.set(key, value, until),
      delete: (key) => inner.delete(key),
    }
    const users = createUserTokenManager({ clients: { web: clientOf(server) }, store, clock })
    const session = await sessions.fromRequest(undefined)
    // The look after the write is slow.
    const watched: SessionTokens = {
      get id() {
        return session.id
      },
      kind: 'carried',
      load: () => session.load(),
      async save(set) {
        const isKept = await session.save(set)
        isArmed = set.generation > set.startedAt && set.subject === 'alice'
        return isKept
      },
      clear: () => session.clear(),
    }
    const user = users.forSession('web', watched)
    await user.adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const refreshing = rejection(user.source().getToken())
    await reached.opened
    await user.adopt(rotating.login('bob'))
    goOn.open()
    expect(await refreshing).toMatchObject({ reason: 'signed_out' })
    expect((await session.load())?.subject).toBe('bob')
  })
})

describe('A6.06 a cookie that is used after the logout', () => {
  test('A6.06 the one of the moment is none to any process, and never refreshes', async ({ startFleet, clock }) => {
    const fleet = await startFleet()
    const { apps, rotating } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    const copy = createBrowser(browser.jar)
    await clock.advance(1000)
    await browser.open(apps[0], '/logout')
    expect(browser.jar.header).toBe('')
    expect(rotating.isAlive('alice')).toBe(false)
    for (const wait of [0, GRACE, HOUR / 2, HOUR]) {
      await clock.advance(wait)
      for (const app of [apps[0], apps[1], await fleet.restarted()]) {
        expect(await copy.openLate(app, '/call')).toMatchObject({ status: 401 })
      }
    }
  })

  test('A6.06 an older one is none for the grace; then its access token is good until it expires, as documented', async ({
    startFleet,
    clock,
  }) => {
    const fleet = await startFleet()
    const { apps } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    const copy = createBrowser(browser.jar)
    await browser.open(apps[0], '/call?resource=urn:a')
    await clock.advance(1000)
    await browser.open(apps[0], '/logout')
    const page = await copy.openLate(apps[1], '/call')
    expect(page).toMatchObject({ status: 401, body: 'no_session' })
    expect(page.setCookies[0]).toContain('__Host-session=; Path=/; Max-Age=0;')
    await clock.advance(GRACE)
    const app = await fleet.restarted()
    expect(await copy.openLate(app, '/call')).toMatchObject({ status: 200, body: 'access-alice-0' })
    await clock.advance(HOUR)
    expect(await copy.openLate(app, '/call')).toMatchObject({ status: 401 })
  })
})

describe('A6.03 a set that has no room in cookies', () => {
  const claims = { padding: 'x'.repeat(7000) }

  test('A6.03 is refused at the sign-in', async ({ startFleet }) => {
    const login = () => ({ access_token: 'a', expires_in: 60, subject: 'alice', claims })
    const fleet = await startFleet({ login })
    const browser = createBrowser()
    const page = await browser.open(fleet.apps[0], '/login?user=alice')
    expect(page).toMatchObject({ status: 500, body: 'session_too_large', setCookies: [] })
  })

  test('A6.03 F5.07 4 resources with tokens of 2 kB: the refresh token that has rotated is kept, whatever has to give way', async ({
    server,
    clock,
  }) => {
    const members = ({ n }: { readonly n: number }) => ({ access_token: `access-${n}.${'x'.repeat(2000)}` })
    const rotating = createRotatingServer({ members })
    server.answer = rotating.answer
    const store = memoryStore({ clock })
    const { sessions } = cookieWorld({}, clock)
    const managers = [0, 1].map(() => createUserTokenManager({ clients: { web: clientOf(server) }, clock, store }))
    const jar = createCookieJar()
    const signIn = await sessions.fromRequest(undefined)
    await managers[0]?.forSession('web', signIn).adopt(rotating.login('alice'))
    jar.take(signIn.setCookies)
    const call = async (n: number, resource: string) => {
      const session = await sessions.fromRequest(jar.header)
      const token = await managers[n]?.forSession('web', session).source({ resource }).getToken()
      jar.take(session.setCookies)
      return token?.accessToken
    }
    for (const resource of ['urn:a', 'urn:b', 'urn:c', 'urn:d']) await call(0, resource)
    // After the grace the cookie is all that there is.
    await clock.advance(120_000)
    expect(await call(1, 'urn:e')).toMatch(/^access-5/)
    expect(rotating.reuses).toBe(0)
  })

  test('A6.03 after a refresh is told, not tried again behind the callers, and found by the next requests for the grace', async ({
    startFleet,
    clock,
    recorder,
  }) => {
    let grows = false
    const transformClaims = () => (grows ? claims : {})
    const fleet = await startFleet({ transformClaims })
    const { apps, rotating } = fleet
    const browser = createBrowser()
    await browser.open(apps[0], '/login?user=alice')
    grows = true
    await clock.advance(HOUR)
    expect(await browser.open(apps[0], '/call')).toMatchObject({ status: 200, body: 'access-alice-1', setCookies: [] })
    const failed = { name: 'session_write_failed', client: 'web', error: 'session_too_large' }
    // By the refresh, and by the request whose browser should have had it: with its access token, and without.
    const told = [failed, failed, { name: 'session_persist_failed', client: 'web' }, failed, failed]
    expect(recorder.events).toEqual(told)
    expect(clock.pending).toBe(0)
    expect(await browser.open(apps[1], '/call')).toMatchObject({ status: 200, body: 'access-alice-1' })
    expect(rotating.refreshes.get('alice')).toBe(1)
    expect(rotating.reuses).toBe(0)
  })
})

test('F5.12 S6 with a real provider that rotates: parallel requests of two processes, three lifetimes, no reuse', async ({
  startProvider,
}) => {
  const secret = 'a-long-enough-secret-for-the-client'
  const provider = await startProvider({
    clients: [
      {
        client_id: 'web',
        client_secret: secret,
        redirect_uris: ['https://app.example/callback'],
        response_types: ['code'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    resources: { 'urn:api': { scope: 'read', lifetimeSeconds: 600, format: 'opaque' } },
    settings: { rotateRefreshToken: true, issueRefreshToken: async () => true, pkce: { required: () => false } },
  })
  const redirectUri = 'https://app.example/callback'
  const login = async (accountId: string) => {
    const code = await provider.issueCode({ clientId: 'web', redirectUri, resource: 'urn:api', accountId })
    const response = await fetch(`${provider.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`web:${secret}`)}` },
      body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: redirectUri }),
    })
    return (await response.json()) as LoginResponse
  }
  // The application's time runs ahead of the provider's, which takes part in real time.
  const clock = createTestClock(Math.floor(Date.now() / 1000) * 1000)
  const clients = {
    web: { issuer: provider.issuer, clientId: 'web', authentication: clientSecretBasic(secret) },
  }
  const shared = { clients, clock, login, store: memoryStore({ clock }), lock: localLock() }
  await using one = await startCookieApp(shared)
  await using other = await startCookieApp(shared)
  const browser = createBrowser()
  await browser.open(one, '/login?user=alice')
  const seen = new Set<string>()
  for (let round = 1; round <= 3; round++) {
    await clock.advance(10 * 60_000)
    const pages = await Promise.all(
      Array.from({ length: 20 }, (_, n) => browser.open(n % 2 === 0 ? one : other, '/call')),
    )
    expect(new Set(pages.map(({ status }) => status))).toEqual(new Set([200]))
    for (const { body } of pages) seen.add(body)
    expect(seen.size).toBe(round)
    expect(provider.tokenRequests).toHaveLength(1 + round)
  }
})
