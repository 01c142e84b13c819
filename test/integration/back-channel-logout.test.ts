import { AsyncLocalStorage } from 'node:async_hooks'
import { createHmac } from 'node:crypto'
import { localLock, memoryRecords, memoryStore, type RecordStore, type TokenStore } from 'evertoken'
import { backChannelLogout, createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { clientOf, createRecorder, rejection, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { createTestKey, testKey } from '../support/keys.ts'
import {
  CLIENT_ID,
  createLogoutServer,
  LOGOUT_EVENT,
  logoutClaims,
  logoutRequest,
  signed,
} from '../support/logout-server.ts'
import { settle, type TestClock } from '../support/test-clock.ts'
import { whileTimePasses } from '../support/user-fleet.ts'

const key = await testKey('RS256')
const ecKey = await testKey('ES256')
const strange = await createTestKey('RS256', key.kid)
const HOUR = 60 * 60 * 1000

interface WorldOptions {
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly store?: TokenStore
  readonly size?: number
  readonly records?: RecordStore
}

/** Processes that share records, store and lock, each with its endpoint for logouts. */
async function startWorld(server: HostileServer, clock: TestClock, options: WorldOptions = {}) {
  const { metadata, store = memoryStore({ clock }), size = 2, records: inner = memoryRecords({ clock }) } = options
  const logoutServer = await createLogoutServer(server, { now: clock.now, ...(metadata && { metadata }) })
  const calls = { records: 0 }
  const faults = { put: undefined as Error | undefined }
  const records: RecordStore = {
    get(name) {
      calls.records++
      return inner.get(name)
    },
    put(name, value, write) {
      calls.records++
      if (faults.put !== undefined) throw faults.put
      return inner.put(name, value, write)
    },
    delete: (name) => inner.delete(name),
  }
  const sessions = storedSessions(records, { clock })
  const lock = localLock()
  const processes = Array.from({ length: size }, () => {
    const telemetry = createRecorder()
    const clients = { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) }
    const tokens = createUserTokenManager({ clients, clock, store, lock, subjects: sessions, telemetry })
    return { tokens, telemetry, receive: backChannelLogout(tokens, { client: 'web', sessions }) }
  })
  const [one] = processes
  if (one === undefined) throw new Error('expected a process, got none')
  /** Signs somebody in, in a browser of their own. `alice#2` is the second sign-in of alice. */
  const signIn = async (subject: string, claims?: Readonly<Record<string, unknown>>, scope?: string) => {
    const session = sessions.create()
    await one.tokens.forSession('web', session).adopt({ ...(await logoutServer.login(subject, claims)), scope })
    return session.id
  }
  /** Asks as a request of the browser does, anywhere. */
  const ask = (id: string, at = processes.length - 1) =>
    (processes[at] ?? one).tokens.forSession('web', sessions.open(id)).source().getToken()
  const isAlive = (id: string) =>
    ask(id).then(
      () => true,
      () => false,
    )
  const claims = (members?: Readonly<Record<string, unknown>>) => logoutClaims(server.origin, clock.now(), members)
  return { ...one, processes, sessions, logoutServer, calls, faults, signIn, ask, isAlive, claims }
}

describe('N19.05 a logout at the server', () => {
  test('N19.05 N19.06 with sid: that session is over on every instance, and its refresh token is revoked', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const one = await world.signIn('alice', { sid: 's1' })
    const two = await world.signIn('alice#2', { sid: 's2' })
    await clock.advance(1000)
    const response = await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice', sid: 's1' }))))
    expect([response.status, response.headers.get('cache-control'), await response.text()]).toEqual([
      200,
      'no-store',
      '',
    ])
    for (const at of [0, 1])
      expect(await rejection(world.ask(one, at))).toMatchObject({ name: 'SessionError', reason: 'no_session' })
    expect(await world.isAlive(two)).toBe(true)
    await world.tokens.close()
    expect(world.logoutServer.rotating.revoked).toContain('refresh-alice-0')
    expect(world.logoutServer.rotating.isAlive('alice#2')).toBe(true)
    expect(world.telemetry.events).toContainEqual({
      name: 'session_ended',
      client: 'web',
      reason: 'back_channel_logout',
    })
  })

  test('N19.05 with sub only: all sessions of that user, and no other, also what is kept for jobs', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const ids = [await world.signIn('alice', { sid: 's1' }), await world.signIn('alice#2', { sid: 's2' })]
    const bob = await world.signIn('bob', { sid: 's3' })
    const job = world.tokens.forSubject('web', 'alice')
    await job.adopt(await world.logoutServer.login('alice#3'))
    await clock.advance(1000)
    const response = await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice' }))))
    expect(response.status).toBe(200)
    for (const id of ids) expect(await world.isAlive(id)).toBe(false)
    const elsewhere = world.processes[1]?.tokens.forSubject('web', 'alice')
    expect(await elsewhere?.read()).toBeUndefined()
    expect(await world.isAlive(bob)).toBe(true)
    await world.tokens.close()
    for (const subject of ['alice', 'alice#2', 'alice#3'])
      expect(world.logoutServer.rotating.isAlive(subject)).toBe(false)
    expect(world.logoutServer.rotating.isAlive('bob')).toBe(true)
    expect(world.telemetry.events.filter(({ name }) => name === 'session_ended')).toHaveLength(3)
  })

  test('N19.05 offline_access: the browser is logged out, the refresh token is not revoked, jobs go on', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const scope = 'openid offline_access'
    const browser = await world.signIn('alice', { sid: 's1' }, scope)
    const job = world.tokens.forSubject('web', 'alice')
    await job.adopt({ ...(await world.logoutServer.login('alice#2', { sid: 's1' })), scope })
    await clock.advance(1000)
    for (const members of [{ sid: 's1' }, { sub: 'alice' }]) {
      expect((await world.receive(logoutRequest(await signed(key, world.claims(members))))).status).toBe(200)
    }
    expect(await world.isAlive(browser)).toBe(false)
    await clock.advance(HOUR)
    expect(await job.source().getToken()).toMatchObject({ accessToken: 'access-alice#2-1' })
    await world.tokens.close()
    expect(world.logoutServer.rotating.revoked).toEqual([])
  })

  test('N3.05 F5.13 N19.05 a refresh that is under way elsewhere does not bring the session back, and is revoked', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const id = await world.signIn('alice', { sid: 's1' })
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
    const refreshing = rejection(world.ask(id, 1))
    await asked
    const response = await world.receive(logoutRequest(await signed(key, world.claims({ sid: 's1' }))))
    expect(response.status).toBe(200)
    open()
    expect(await refreshing).toMatchObject({ name: 'SessionError', reason: 'signed_out' })
    await Promise.all(world.processes.map(({ tokens }) => tokens.close()))
    expect(world.logoutServer.rotating.isAlive('alice')).toBe(false)
    expect(await world.sessions.open(id).load()).toBeUndefined()
  })

  test('F5.13 N19.05 the logout comes between login and adopt: there is no session', async ({ server, clock }) => {
    const world = await startWorld(server, clock)
    const login = await world.logoutServer.login('alice', { sid: 's1' })
    await clock.advance(1000)
    expect((await world.receive(logoutRequest(await signed(key, world.claims({ sid: 's1' }))))).status).toBe(200)
    const session = world.sessions.create()
    const adopting = rejection(world.tokens.forSession('web', session).adopt(login))
    expect(await whileTimePasses(clock, adopting)).toMatchObject({ name: 'SessionError', reason: 'superseded' })
    expect(await world.isAlive(session.id)).toBe(false)
  })

  test('N19.05 the sign-in is remembered by the ID token that came with it, and not by those of refreshes', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const login = await world.logoutServer.login('alice', { sid: 's1' })
    const signedInAt = clock.now()
    await clock.advance(2500)
    const session = world.sessions.create()
    await world.tokens.forSession('web', session).adopt(login)
    expect(await session.load()).toMatchObject({ signedInAt })
    await clock.advance(HOUR)
    await world.ask(session.id)
    expect(await world.sessions.open(session.id).load()).toMatchObject({ signedInAt })
  })

  test('N19.06 nobody is signed in: 200 all the same', async ({ server, clock }) => {
    const world = await startWorld(server, clock)
    const response = await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'nobody' }))))
    expect(response.status).toBe(200)
  })
})

/** What a token has to be like, and is not. */
interface Forgery {
  readonly name: string
  readonly reason: string
  readonly claims?: (now: number) => Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  readonly token?: (claims: Readonly<Record<string, unknown>>) => string | Promise<string>
}

const seconds = (now: number): number => Math.floor(now / 1000)
const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const HMAC_INPUT = (claims: unknown): string =>
  `${encoded({ alg: 'HS256', kid: key.kid, typ: 'logout+jwt' })}.${encoded(claims)}`

const FORGERIES: readonly Forgery[] = [
  {
    name: 'alg none',
    reason: 'text',
    token: (claims) => `${encoded({ alg: 'none', typ: 'logout+jwt' })}.${encoded(claims)}.`,
  },
  {
    name: 'alg None with a signature',
    reason: 'alg',
    token: (claims) => `${encoded({ alg: 'None', kid: key.kid })}.${encoded(claims)}.AAAA`,
  },
  {
    name: 'HMAC with the public key as secret',
    reason: 'alg',
    token: (claims) => {
      const pem = key.publicKeyObject.export({ format: 'pem', type: 'spki' })
      return `${HMAC_INPUT(claims)}.${createHmac('sha256', pem).update(HMAC_INPUT(claims)).digest('base64url')}`
    },
  },
  {
    name: 'HMAC with the client secret',
    reason: 'alg',
    token: (claims) =>
      `${HMAC_INPUT(claims)}.${createHmac('sha256', 'a-long-enough-secret').update(HMAC_INPUT(claims)).digest('base64url')}`,
  },
  { name: 'an algorithm that ID tokens do not have', reason: 'alg', token: (claims) => signed(ecKey, claims) },
  { name: 'a strange key of the same kid', reason: 'signature', token: (claims) => signed(strange, claims) },
  {
    name: 'a key of its own in the header',
    reason: 'kid',
    header: { kid: 'own', jwk: strange.publicJwk },
    token: (claims) => signed(strange, claims, { kid: 'own', jwk: strange.publicJwk }),
  },
  { name: 'an unknown kid', reason: 'kid', header: { kid: 'unknown' } },
  {
    name: 'claims that were changed',
    reason: 'signature',
    token: async (claims) => {
      const [header, , signature] = (await signed(key, { ...claims, sid: 'another' })).split('.')
      return `${header}.${encoded(claims)}.${signature}`
    },
  },
  {
    name: 'an unknown critical header',
    reason: 'signature',
    token: async (claims) => {
      const [, payload, signature] = (await signed(key, claims)).split('.')
      return `${encoded({ alg: 'RS256', kid: key.kid, crit: ['x'], x: 1 })}.${payload}.${signature}`
    },
  },
  { name: 'the type of an access token', reason: 'typ', header: { typ: 'at+jwt' } },
  { name: 'the type of a proof', reason: 'typ', header: { typ: 'dpop+jwt' } },
  { name: 'another issuer', reason: 'iss', claims: () => ({ iss: 'https://other.example' }) },
  { name: 'the issuer with a slash', reason: 'iss', claims: () => ({ iss: 'ORIGIN/' }) },
  { name: 'no issuer', reason: 'iss', claims: () => ({ iss: undefined }) },
  { name: 'another audience', reason: 'aud', claims: () => ({ aud: 'another' }) },
  { name: 'a list of other audiences', reason: 'aud', claims: () => ({ aud: ['another', 'third'] }) },
  { name: 'a part of the audience', reason: 'aud', claims: () => ({ aud: `${CLIENT_ID}-2` }) },
  { name: 'no audience', reason: 'aud', claims: () => ({ aud: undefined }) },
  { name: 'no iat', reason: 'iat', claims: () => ({ iat: undefined }) },
  { name: 'an iat that is a text', reason: 'iat', claims: (now) => ({ iat: String(seconds(now)) }) },
  { name: 'an old iat', reason: 'iat', claims: (now) => ({ iat: seconds(now) - 361, exp: seconds(now) + HOUR }) },
  { name: 'an iat of the future', reason: 'iat', claims: (now) => ({ iat: seconds(now) + 62 }) },
  { name: 'no exp', reason: 'exp', claims: () => ({ exp: undefined }) },
  {
    name: 'an exp that is over',
    reason: 'exp',
    claims: (now) => ({ iat: seconds(now) - 120, exp: seconds(now) - 61 }),
  },
  { name: 'an exp that is a text', reason: 'exp', claims: (now) => ({ exp: String(seconds(now) + 60) }) },
  { name: 'no jti', reason: 'jti', claims: () => ({ jti: undefined }) },
  { name: 'an empty jti', reason: 'jti', claims: () => ({ jti: '' }) },
  { name: 'no events', reason: 'events', claims: () => ({ events: undefined }) },
  {
    name: 'another event',
    reason: 'events',
    claims: () => ({ events: { 'http://schemas.openid.net/event/other': {} } }),
  },
  { name: 'an event that is no object', reason: 'events', claims: () => ({ events: { [LOGOUT_EVENT]: true } }) },
  { name: 'events in a list', reason: 'events', claims: () => ({ events: [LOGOUT_EVENT] }) },
  { name: 'a nonce', reason: 'nonce', claims: () => ({ nonce: 'n-1' }) },
  { name: 'a nonce that is null', reason: 'nonce', claims: () => ({ nonce: null }) },
  { name: 'neither sub nor sid', reason: 'sub', claims: () => ({ sub: undefined, sid: undefined }) },
  { name: 'an empty sub', reason: 'sub', claims: () => ({ sub: '' }) },
  { name: 'a sub that is a number', reason: 'sub', claims: () => ({ sub: 7 }) },
  { name: 'an empty sid', reason: 'sid', claims: () => ({ sid: '' }) },
  { name: 'a sid that is a list', reason: 'sid', claims: () => ({ sid: ['s1'] }) },
  {
    name: 'an ID token',
    reason: 'jti',
    claims: () => ({ jti: undefined, events: undefined, nonce: 'n-1' }),
    header: { typ: 'JWT' },
  },
  { name: 'an encrypted one', reason: 'text', token: () => 'e30.AA.AA.AA.AA' },
  { name: 'no JWT', reason: 'text', token: () => 'opaque' },
  { name: 'nothing', reason: 'text', token: () => '' },
]

describe('N19.03 a logout token that is not what it has to be', () => {
  test.for(FORGERIES)(
    'N19.03 N19.06 $name: 400, and the session is untouched',
    async ({ reason, claims, header, token }, { server, clock }) => {
      const world = await startWorld(server, clock, {
        size: 1,
        metadata: { id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'] },
      })
      const id = await world.signIn('alice', { sid: 's1' })
      await clock.advance(1000)
      const made = { ...world.claims({ sub: 'alice', sid: 's1' }), ...claims?.(clock.now()) }
      if (made.iss === 'ORIGIN/') made.iss = `${server.origin}/`
      const before = world.calls.records
      const response = await world.receive(logoutRequest(await (token?.(made) ?? signed(key, made, header))))
      expect([response.status, response.headers.get('cache-control')]).toEqual([400, 'no-store'])
      expect(response.headers.get('content-type')).toBe('application/json')
      expect(await response.json()).toEqual({
        error: 'invalid_request',
        error_description: expect.stringMatching(/^expected /),
      })
      expect(world.telemetry.events).toEqual([{ name: 'logout_failed', client: 'web', reason }])
      expect(world.calls.records).toBe(before)
      expect(await world.isAlive(id)).toBe(true)
      // The same with nothing wrong is taken.
      const good = await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice', sid: 's1' }))))
      expect(good.status).toBe(200)
    },
  )

  test.for([
    { name: 'GET', request: () => new Request('https://client.example/logout'), status: 405 },
    {
      name: 'PUT',
      request: () => new Request('https://client.example/logout', { method: 'PUT', body: 'logout_token=x' }),
      status: 405,
    },
    {
      name: 'JSON',
      request: (token: string) => post(JSON.stringify({ logout_token: token }), 'application/json'),
      status: 400,
    },
    {
      name: 'a form of parts',
      request: (token: string) => post(`logout_token=${token}`, 'multipart/form-data; boundary=x'),
      status: 400,
    },
    { name: 'no body', request: () => new Request('https://client.example/logout', { method: 'POST' }), status: 400 },
    { name: 'a form without the token', request: (token: string) => post(`token=${token}`), status: 400 },
    {
      name: 'a form with two tokens',
      request: (token: string) => post(`logout_token=${token}&logout_token=${token}`),
      status: 400,
    },
    {
      name: 'a form that is too long',
      request: (token: string) => post(`logout_token=${token}&more=${'x'.repeat(16 * 1024)}`),
      status: 400,
    },
  ])('N19.06 $name: $status', async ({ request, status }, { server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const id = await world.signIn('alice', { sid: 's1' })
    const response = await world.receive(request(await signed(key, world.claims({ sub: 'alice', sid: 's1' }))))
    expect([response.status, response.headers.get('cache-control')]).toEqual([status, 'no-store'])
    expect(await world.isAlive(id)).toBe(true)
  })

  test('N19.06 a body that does not come to its end is given up', async ({ server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    let isCancelled = false
    const body = new ReadableStream({
      cancel() {
        isCancelled = true
      },
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const answering = world.receive(
      new Request('https://client.example/logout', { method: 'POST', headers, body, duplex: 'half' } as RequestInit),
    )
    await clock.untilPending()
    await clock.advance(10_000)
    expect((await answering).status).toBe(400)
    expect(isCancelled).toBe(true)
    expect(world.telemetry.events).toEqual([{ name: 'logout_failed', client: 'web', reason: 'timeout' }])
  })

  test.for([
    { name: 'typ JWT', header: { typ: 'JWT' } },
    { name: 'no typ', header: { typ: undefined } },
    { name: 'the whole media type', header: { typ: 'application/Logout+JWT' } },
    { name: 'a list of audiences with this client', claims: { aud: ['another', CLIENT_ID] } },
    { name: 'an event with members', claims: { events: { [LOGOUT_EVENT]: { more: 1 }, other: {} } } },
    { name: 'a charset', header: {}, type: 'application/x-www-form-urlencoded; charset=utf-8' },
  ])('N19.03 $name is taken', async ({ header, claims, type }, { server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const id = await world.signIn('alice', { sid: 's1' })
    await clock.advance(1000)
    const token = await signed(key, world.claims({ sid: 's1', ...claims }), header)
    expect(
      (await world.receive(type === undefined ? logoutRequest(token) : post(`logout_token=${token}`, type))).status,
    ).toBe(200)
    expect(await world.isAlive(id)).toBe(false)
  })
})

function post(body: string, type = 'application/x-www-form-urlencoded'): Request {
  return new Request('https://client.example/logout', { method: 'POST', body, headers: { 'content-type': type } })
}

describe('N19.04 logout tokens that come again, or in masses', () => {
  test('N19.04 a token that came before is refused, on every instance, and ends no session that began since', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const first = await world.signIn('alice', { sid: 's1' })
    await clock.advance(1000)
    const token = await signed(key, world.claims({ sub: 'alice' }))
    const twice = await Promise.all([world.receive(logoutRequest(token)), world.receive(logoutRequest(token))])
    expect(twice.map(({ status }) => status).sort()).toEqual([200, 400])
    expect(await world.isAlive(first)).toBe(false)
    await clock.advance(1000)
    const second = await world.signIn('alice#2', { sid: 's2' })
    for (const { receive } of world.processes) expect((await receive(logoutRequest(token))).status).toBe(400)
    // Until it is too old for other reasons.
    await clock.advance(178_000)
    for (const { receive } of world.processes) expect((await receive(logoutRequest(token))).status).toBe(400)
    await clock.advance(10_000)
    for (const { receive } of world.processes) expect((await receive(logoutRequest(token))).status).toBe(400)
    expect(await world.isAlive(second)).toBe(true)
    const reasons = world.telemetry.events.flatMap((event) => (event.name === 'logout_failed' ? [event.reason] : []))
    expect(reasons).toEqual(['replay', 'replay', 'replay', 'exp'])
  })

  test('N19.04 the store of tokens is down: this process remembers for itself', async ({ server, clock }) => {
    const down = () => {
      throw new Error('down')
    }
    const world = await startWorld(server, clock, { store: { get: down, set: down, delete: down }, size: 1 })
    const token = await signed(key, world.claims({ sub: 'alice' }))
    expect((await world.receive(logoutRequest(token))).status).toBe(200)
    expect((await world.receive(logoutRequest(token))).status).toBe(400)
  })

  test('N19.04 N19.06 the sessions cannot be written: 400, and the same token works when they can', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock)
    const id = await world.signIn('alice', { sid: 's1' })
    await clock.advance(1000)
    const token = await signed(key, world.claims({ sid: 's1' }))
    world.faults.put = Object.assign(new Error('down'), { code: 'store_unavailable' })
    const response = await world.receive(logoutRequest(token))
    expect([response.status, response.headers.get('cache-control')]).toEqual([400, 'no-store'])
    expect(await response.json()).toMatchObject({ error: 'temporarily_unavailable' })
    expect(world.telemetry.events).toEqual([{ name: 'logout_failed', client: 'web', reason: 'store_unavailable' }])
    world.faults.put = undefined
    expect(await world.isAlive(id)).toBe(true)
    expect((await world.receive(logoutRequest(token))).status).toBe(200)
    expect(await world.isAlive(id)).toBe(false)
  })

  test('N19.06 N3.01 some sessions cannot be ended: 400, and the refresh tokens of the others are revoked all the same', async ({
    server,
    clock,
  }) => {
    const records = memoryRecords({ clock })
    let failing = 0
    const failable: RecordStore = {
      ...records,
      put(name, value, write) {
        if (value === 'ended' && failing-- === 1) throw new Error('down')
        return records.put(name, value, write)
      },
    }
    const world = await startWorld(server, clock, { size: 1, records: failable })
    const users = ['alice', 'alice#2', 'alice#3']
    for (const user of users) await world.signIn(user)
    await clock.advance(2000)
    const token = await signed(key, world.claims({ sub: 'alice' }))
    failing = 2
    expect((await world.receive(logoutRequest(token))).status).toBe(400)
    expect((await world.receive(logoutRequest(token))).status).toBe(200)
    await world.tokens.close()
    for (const user of users) expect(world.logoutServer.rotating.isAlive(user)).toBe(false)
    expect(world.telemetry.events.filter(({ name }) => name === 'session_ended')).toHaveLength(3)
  })

  test('N19.04 sessions that never answer: 400, and the token may come again', async ({ server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    let isHanging = true
    const receive = backChannelLogout(world.tokens, {
      client: 'web',
      sessions: { end: (...logout) => (isHanging ? new Promise(() => {}) : world.sessions.end(...logout)) },
    })
    const token = await signed(key, world.claims({ sub: 'alice' }))
    const stuck = whileTimePasses(clock, receive(logoutRequest(token)), 1000)
    expect((await stuck).status).toBe(400)
    expect(world.telemetry.events).toEqual([{ name: 'logout_failed', client: 'web', reason: 'store_timeout' }])
    isHanging = false
    expect((await receive(logoutRequest(token))).status).toBe(200)
  })

  test('N19.04 N19.05 one token for two clients is good once at the endpoint of each', async ({ server, clock }) => {
    const logoutServer = await createLogoutServer(server, { now: clock.now })
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const members = { issuer: server.origin, tokenEndpoint: undefined }
    const clients = { web: clientOf(server, members), admin: clientOf(server, { ...members, clientId: 'admin' }) }
    const tokens = createUserTokenManager({ clients, clock, store: memoryStore({ clock }) })
    const session = sessions.create()
    await tokens.forSession('admin', session).adopt(await logoutServer.login('alice', { aud: 'admin' }))
    await clock.advance(2000)
    const claims = logoutClaims(server.origin, clock.now(), { sub: 'alice', aud: [CLIENT_ID, 'admin'] })
    const token = await signed(key, claims)
    const endpoints = (['web', 'admin'] as const).map((client) => backChannelLogout(tokens, { client, sessions }))
    const statuses: number[] = []
    for (const receive of [...endpoints, ...endpoints]) statuses.push((await receive(logoutRequest(token))).status)
    expect(statuses).toEqual([200, 200, 400, 400])
    expect(await session.load()).toBeUndefined()
  })

  test.for([
    {
      name: 'unknown keys',
      forge: (claims: object, n: number) => signed(strange, { ...claims }, { kid: `kid-${n}` }),
      keyRequests: 2,
    },
    { name: 'a known key', forge: (claims: object) => signed(strange, { ...claims }), keyRequests: 1 },
    {
      name: 'no key at all',
      forge: (claims: object) => `${encoded({ alg: 'RS256' })}.${encoded(claims)}.${'A'.repeat(342)}`,
      keyRequests: 1,
    },
    {
      name: 'other issuers',
      forge: (claims: object, n: number) => signed(strange, { ...claims, iss: `https://${n}.example` }),
      keyRequests: 0,
    },
  ])(
    'N19.04 10,000 forged tokens of $name: no look at a session, and $keyRequests at the keys',
    async ({ forge, keyRequests }, { server, clock }) => {
      const world = await startWorld(server, clock, { size: 1 })
      const id = await world.signIn('alice', { sid: 's1' })
      // A few signatures are enough for any number of tokens.
      const forged = await Promise.all(
        Array.from({ length: 50 }, async (_, n) => forge(world.claims({ sub: 'alice' }), n)),
      )
      const before = { records: world.calls.records, requests: server.requests.length }
      await clock.advance(31_000)
      for (let round = 0; round < 200; round++) {
        const responses = await Promise.all(forged.map((token) => world.receive(logoutRequest(token))))
        expect(responses.every(({ status }) => status === 400)).toBe(true)
      }
      expect(world.calls.records).toBe(before.records)
      expect(world.logoutServer.jwksRequests).toBeLessThanOrEqual(keyRequests)
      // The keys, and the metadata that says where they are.
      expect(server.requests.length - before.requests).toBeLessThanOrEqual(keyRequests + 1)
      expect(await world.isAlive(id)).toBe(true)
    },
  )
})

describe('N19.03 the keys of the server', () => {
  test('N19.03 a new key: the server is asked once more, and then not for half a minute', async ({ server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const next = await createTestKey('RS256', 'next')
    const later = await createTestKey('RS256', 'later')
    const send = async (by: typeof next) =>
      (await world.receive(logoutRequest(await signed(by, world.claims({ sub: 'alice' }))))).status
    expect(await send(key)).toBe(200)
    world.logoutServer.keys = [key.publicJwk, next.publicJwk]
    await clock.advance(30_000)
    expect(await send(next)).toBe(200)
    expect(world.logoutServer.jwksRequests).toBe(2)
    world.logoutServer.keys = [key.publicJwk, next.publicJwk, later.publicJwk]
    expect(await send(later)).toBe(400)
    expect(world.logoutServer.jwksRequests).toBe(2)
    await clock.advance(30_000)
    expect(await send(later)).toBe(200)
    expect(world.logoutServer.jwksRequests).toBe(3)
  })

  test('N19.03 two logouts with a new key at once are both done, and the keys are asked for once', async ({
    server,
    clock,
  }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const next = await createTestKey('RS256', 'next')
    const ids = [await world.signIn('alice'), await world.signIn('bob'), await world.signIn('carol')]
    // The keys of before are known.
    expect((await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'nobody' }))))).status).toBe(200)
    await clock.advance(60_000)
    world.logoutServer.keys = [key.publicJwk, next.publicJwk]
    const requests = await Promise.all(
      ['alice', 'bob', 'carol'].map(async (sub) => logoutRequest(await signed(next, world.claims({ sub })))),
    )
    const responses = await Promise.all(requests.map(world.receive))
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200])
    for (const id of ids) expect(await world.isAlive(id)).toBe(false)
    expect(world.logoutServer.jwksRequests).toBe(2)
  })

  test('A1.06 are asked for outside of the context of the first logout, and so is the metadata', async ({
    server,
    clock,
  }) => {
    await createLogoutServer(server, { now: clock.now })
    const users = new AsyncLocalStorage<string>()
    const seen: string[] = []
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const clients = { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) }
    const tokens = createUserTokenManager({
      clients,
      clock,
      fetch(input, init) {
        seen.push(`${new URL(String(input)).pathname} ${users.getStore()}`)
        return fetch(input, init)
      },
    })
    const receive = backChannelLogout(tokens, { client: 'web', sessions })
    const token = await signed(key, logoutClaims(server.origin, clock.now(), { sub: 'alice' }))
    const response = await users.run('request of the server', () => receive(logoutRequest(token)))
    expect(response.status).toBe(200)
    expect(seen).toEqual(['/.well-known/openid-configuration undefined', '/jwks undefined'])
  })

  test.for([
    { name: '500', fault: () => ({ status: 500 }) },
    { name: '404', fault: () => ({ status: 404, body: '{}' }) },
    { name: 'HTML', fault: () => ({ body: '<html>' }) },
    { name: 'no list', fault: () => ({ body: '{"keys":{}}' }) },
  ])('N19.03 $name in place of the keys: those of before are good for a day', async ({ fault }, { server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const send = async () =>
      (await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice' }))))).status
    expect(await send()).toBe(200)
    world.logoutServer.fault = fault
    await clock.advance(11 * 60_000)
    expect(await send()).toBe(200)
    expect(world.logoutServer.jwksRequests).toBe(2)
    expect(await send()).toBe(200)
    expect(world.logoutServer.jwksRequests).toBe(2)
    await clock.advance(24 * HOUR)
    expect([await send(), await send()]).toEqual([400, 400])
    expect(world.logoutServer.jwksRequests).toBe(3)
    world.logoutServer.fault = undefined
    await clock.advance(1000)
    expect(await send()).toBe(200)
  })

  test('N19.03 a key that was taken back is not good for longer than ten minutes', async ({ server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    const send = async () =>
      (await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice' }))))).status
    expect(await send()).toBe(200)
    world.logoutServer.keys = [ecKey.publicJwk]
    await clock.advance(10 * 60_000)
    expect(await send()).toBe(400)
  })

  test.for([
    { name: 'keys for encryption', keys: [{ ...key.publicJwk, use: 'enc' }] },
    { name: 'keys of another algorithm', keys: [{ ...key.publicJwk, alg: 'PS256' }] },
    { name: 'a secret with the same name', keys: [{ kty: 'oct', kid: key.kid, k: 'AAAA', alg: 'RS256' }] },
    { name: 'what is no key', keys: [{ kty: 'RSA', kid: key.kid, n: 7, e: 'AQAB' }] },
  ])('N19.03 $name are not taken', async ({ keys }, { server, clock }) => {
    const world = await startWorld(server, clock, { size: 1 })
    world.logoutServer.keys = keys
    const response = await world.receive(logoutRequest(await signed(key, world.claims({ sub: 'alice' }))))
    expect(response.status).toBe(400)
    await settle()
  })

  test('N19.03 the algorithm of the registration is the only one', async ({ server, clock }) => {
    const world = await startWorld(server, clock, {
      size: 1,
      metadata: { id_token_signing_alg_values_supported: ['RS256', 'ES256'] },
    })
    world.logoutServer.keys = [key.publicJwk, ecKey.publicJwk]
    const { sessions, tokens } = world
    const byRegistration = backChannelLogout(tokens, { client: 'web', sessions, idTokenSignedResponseAlg: 'ES256' })
    const statuses = async (receive: typeof byRegistration) =>
      Promise.all(
        [key, ecKey].map(
          async (by) => (await receive(logoutRequest(await signed(by, world.claims({ sub: 'alice' }))))).status,
        ),
      )
    expect(await statuses(world.receive)).toEqual([200, 200])
    expect(await statuses(byRegistration)).toEqual([400, 200])
  })

  test('N19.03 a server without discovery: the keys are where the options say', async ({ server, clock }) => {
    await createLogoutServer(server, { now: clock.now })
    const sessions = storedSessions(memoryRecords({ clock }), { clock })
    const tokens = createUserTokenManager({ clients: { web: clientOf(server, { issuer: server.origin }) }, clock })
    const receive = backChannelLogout(tokens, { client: 'web', sessions, jwksUri: `${server.origin}/jwks` })
    const token = await signed(key, logoutClaims(server.origin, clock.now(), { sub: 'alice' }))
    expect((await receive(logoutRequest(token))).status).toBe(200)
  })

  test('N19.04 metadata without keys, or none: 400, and the server is not asked with each token', async ({
    server,
    clock,
  }) => {
    for (const metadata of [{ jwks_uri: undefined }, { token_endpoint: 'no URL' }]) {
      const world = await startWorld(server, clock, { size: 1, metadata })
      const before = server.requests.length
      const token = await signed(key, world.claims({ sub: 'alice' }))
      for (let n = 0; n < 20; n++) expect((await world.receive(logoutRequest(token))).status).toBe(400)
      expect(server.requests.length - before).toBeLessThanOrEqual(1)
      expect(world.telemetry.events).toContainEqual({
        name: 'logout_failed',
        client: 'web',
        reason: 'metadata_invalid',
      })
    }
  })
})

describe('what the handler is made of', () => {
  test.for([
    {
      name: 'no manager',
      make: ({ sessions }: Parts) => backChannelLogout({} as never, { client: 'web', sessions } as never),
    },
    { name: 'no sessions', make: ({ tokens }: Parts) => backChannelLogout(tokens, { client: 'web' } as never) },
    {
      name: 'a strange option',
      make: ({ tokens, sessions }: Parts) =>
        backChannelLogout(tokens, { client: 'web', sessions, cookies: 1 } as never),
      code: 'option_unknown',
    },
    {
      name: 'an unknown client',
      make: ({ tokens, sessions }: Parts) => backChannelLogout(tokens, { client: 'wbe' as 'web', sessions }),
      code: 'client_unknown',
    },
    {
      name: 'a client without issuer',
      make: ({ tokens, sessions }: Parts) => backChannelLogout(tokens, { client: 'bare', sessions }),
    },
    {
      name: 'a client without discovery',
      make: ({ tokens, sessions }: Parts) => backChannelLogout(tokens, { client: 'both', sessions }),
    },
    {
      name: 'keys over http',
      make: ({ tokens, sessions }: Parts) =>
        backChannelLogout(tokens, { client: 'web', sessions, jwksUri: 'http://op.example/jwks' }),
    },
    ...['none', 'HS256', 'rs256', ''].map((alg) => ({
      name: `algorithm "${alg}"`,
      make: ({ tokens, sessions }: Parts) =>
        backChannelLogout(tokens, { client: 'web', sessions, idTokenSignedResponseAlg: alg }),
      code: 'option_invalid',
    })),
  ])('N19.03 $name: refused at creation', ({ make, code = 'option_invalid' }, { server, clock }) => {
    const parts = partsOf(server, clock)
    expect(() => make(parts)).toThrowError(expect.objectContaining({ name: 'ConfigurationError', code }))
  })

  test('N19.06 a manager that is closed: 400', async ({ server, clock }) => {
    const { tokens, sessions } = partsOf(server, clock)
    const receive = backChannelLogout(tokens, { client: 'web', sessions })
    await tokens.close()
    const token = await signed(key, logoutClaims(server.origin, clock.now(), { sub: 'alice' }))
    expect((await receive(logoutRequest(token))).status).toBe(400)
  })
})

type Parts = ReturnType<typeof partsOf>

function partsOf(server: HostileServer, clock: TestClock) {
  const discovered = { issuer: server.origin, tokenEndpoint: undefined }
  const clients = {
    web: clientOf(server, discovered),
    bare: clientOf(server),
    both: clientOf(server, { issuer: server.origin }),
  }
  return {
    tokens: createUserTokenManager({ clients, clock }),
    sessions: storedSessions(memoryRecords({ clock }), { clock }),
  }
}
