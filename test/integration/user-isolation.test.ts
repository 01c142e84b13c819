import { AsyncLocalStorage } from 'node:async_hooks'
import { clientSecretPost, localLock, memoryRecords, none, type Telemetry } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { createJar } from '../support/carried-jar.ts'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { createTestKey } from '../support/keys.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import {
  createGate,
  discoveringFleet,
  fleetAt,
  HOUR,
  idToken,
  type Manager,
  nextPost,
  refreshes,
  sharedPlace,
  textOf,
  withMetadata,
} from '../support/user-fleet.ts'

describe('U1 nobody', () => {
  test.for([undefined, null, '', 0, {}, [], Number.NaN])(
    'A1.07 U1 a subject that is %j throws: there is no bucket for nobody',
    async (subject, { server, clock }) => {
      const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
      expect(() => one.forSubject('web', subject as string)).toThrow(
        expect.objectContaining({ name: 'ConfigurationError', code: 'subject_invalid' }),
      )
    },
  )

  test.for([undefined, null, '', 7])('A1.07 U1 a session id that is %j throws', (id, { clock }) => {
    expect(() => sharedPlace(clock).sessions.open(id as string)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', code: 'session_invalid' }),
    )
  })

  test('A1.07 U1 a session without an id throws, whoever made it', async ({ server, clock }) => {
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    for (const id of [undefined, '', null]) {
      const session = { id: id as string, load: () => undefined, save: () => true, clear() {} }
      const error = await rejection(one.forSession('web', session).source().getToken())
      expect(error).toMatchObject({ name: 'ConfigurationError', code: 'session_invalid' })
    }
  })

  test('A1.12 U1 anonymous: a SessionError from token, authorizer and fetch, and not one request', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const destination = { baseUrl: `${elsewhere.origin}/` }
    for (const user of [
      one.forSubject('web', 'nobody'),
      one.forSession('web', place.sessions.create()),
      one.forSession('web', createJar('browser').request()),
    ]) {
      const target = { method: 'GET', url: new URL('/x', elsewhere.origin) }
      for (const asked of [
        user.source().getToken(),
        user.source().getToken({ forceRenewal: true }),
        user.authorizer(destination).begin(target),
        user.fetch(destination)('x'),
        user.revoke(),
      ]) {
        expect(await rejection(asked)).toMatchObject({ name: 'SessionError', reason: 'no_session' })
      }
      expect(await user.read()).toBeUndefined()
    }
    expect(server.requests).toHaveLength(0)
    expect(elsewhere.requests).toHaveLength(0)
  })
})

describe('A1.02 what shapes a token', () => {
  test('A1.02 U4 requests of one user that differ in scope, resource, parameter or partition: a token each, and the same ones share', async ({
    server,
    clock,
  }) => {
    let n = 0
    const rotating = createRotatingServer()
    server.answer = async (request) => {
      const { form } = request
      const answer = (await rotating.answer(request)) as { readonly body: string }
      const asked = [...form].filter(([name]) => !['grant_type', 'refresh_token'].includes(name))
      const access_token = `${encodeURIComponent(JSON.stringify(asked))}.${++n}`
      return { body: JSON.stringify({ ...JSON.parse(answer.body), access_token }) }
    }
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const wishes = [
      { scope: 'a' },
      { scope: 'a b' },
      { resource: 'urn:a' },
      { resource: ['urn:a', 'urn:b'] },
      { parameters: { tenant: '1' } },
      { parameters: { tenant: '2' } },
      { parameters: { audience: 'urn:a' } },
      { parameters: { acr_values: '1' } },
      { parameters: { organization: '1' } },
      { partition: 'p' },
    ]
    const got = await Promise.all([...wishes, ...wishes].map((wish) => alice.source(wish).getToken()))
    const texts = got.map(({ accessToken }) => accessToken)
    expect(new Set(texts).size).toBe(wishes.length)
    for (const [i, { scope, resource, parameters }] of wishes.entries()) {
      const asked = decodeURIComponent(texts[i]?.replace(/\.\d+$/, '') ?? '')
      const wanted = [
        ...Object.entries(parameters ?? {}),
        ...(scope === undefined ? [] : [['scope', scope]]),
        ...[resource ?? []].flat().map((value) => ['resource', value]),
      ]
      expect(JSON.parse(asked)).toEqual(wanted)
      expect(texts[i]).toBe(texts[i + wishes.length])
    }
    expect(server.requests).toHaveLength(wishes.length)
    expect(rotating.reuses).toBe(0)
  })

  test('A1.02 U4 a user has tokens for two resources, and they stay what they are after the refresh of one', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const [a, b] = [alice.source({ resource: 'urn:a' }), alice.source({ resource: 'urn:b' })]
    const first = await a.getToken()
    expect((await b.getToken()).accessToken).toBe('access-alice-2-urn:b')
    expect((await a.getToken({ rejected: first })).accessToken).toBe('access-alice-3-urn:a')
    expect((await b.getToken()).accessToken).toBe('access-alice-2-urn:b')
    expect((await alice.source().getToken()).accessToken).toBe('access-alice-0')
  })
})

describe('A1.04 U12 several clients and servers', () => {
  test('A1.04 U12 two servers, one client id, one subject, one place: each client has its own tokens and its own way to prove itself', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const servers = [server, elsewhere].map((at, n) => {
      const rotating = createRotatingServer({ members: ({ n: count }) => ({ access_token: `server${n}-${count}` }) })
      at.answer = rotating.answer
      return { at, rotating }
    })
    const { sessions: subjects, store, lock } = sharedPlace(clock)
    const one = clientOf(server)
    const other = clientOf(elsewhere, {
      authentication: clientSecretPost('another-long-secret'),
      parameters: { t: '1' },
    })
    const tokens = createUserTokenManager({ clock, subjects, store, lock, clients: { one, other } })
    for (const [n, name] of (['one', 'other'] as const).entries()) {
      await tokens.forSubject(name, 'alice').adopt({ ...servers[n]?.rotating.login('alice'), access_token: 'first' })
    }
    await clock.advance(HOUR)
    const got = await Promise.all(
      (['one', 'other', 'one', 'other'] as const).map((name) => tokens.forSubject(name, 'alice').source().getToken()),
    )
    expect(got.map(({ accessToken }) => accessToken)).toEqual(['server0-1', 'server1-1', 'server0-1', 'server1-1'])
    expect(server.requests[0]?.headers.authorization).toMatch(/^Basic /)
    expect(elsewhere.requests[0]?.form.get('client_secret')).toBe('another-long-secret')
    expect(elsewhere.requests[0]?.form.get('t')).toBe('1')
    expect([server, elsewhere].map(({ requests }) => requests.length)).toEqual([1, 1])
  })

  test('D5 D8 a key that was replaced is kept for the tokens of a session, also where another process has got them', async ({
    server,
    clock,
  }) => {
    const [first, second] = await Promise.all([createTestKey('ES256', 'k1'), createTestKey('ES256', 'k2')])
    const rotating = createRotatingServer({ members: () => ({ token_type: 'DPoP' }) })
    server.answer = rotating.answer
    const subjects = sharedPlace(clock).sessions
    const start = () => {
      const ring = dpopKeyRing(first.jwk, { clock })
      const clients = { web: clientOf(server, { dpop: ring, authentication: none() }) }
      return { ring, tokens: createUserTokenManager({ clock, subjects, clients }) }
    }
    const [one, other] = [start(), start()]
    const jkt = await one.ring.thumbprint()
    await one.tokens.forSubject('web', 'alice').adopt({ ...rotating.login('alice'), token_type: 'DPoP', jkt })
    const source = other.tokens.forSubject('web', 'alice').source()
    await source.getToken()
    for (const { ring } of [one, other]) ring.rotate(second.jwk)
    await clock.advance(61_000)
    // Something that asks for the key of the moment.
    await other.ring.thumbprint()
    expect((await source.getToken()).accessToken).toBe('access-alice-0')
  })

  test('U12 D5 two clients with a key ring each: each refresh proves the key of its own', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const keys = await Promise.all(['k1', 'k2'].map((kid) => createTestKey('ES256', kid)))
    const rings = keys.map(({ jwk }) => dpopKeyRing(jwk))
    const rotating = createRotatingServer({ members: () => ({ token_type: 'DPoP' }) })
    for (const at of [server, elsewhere]) at.answer = rotating.answer
    const [one, other] = [server, elsewhere].map((at, n) => clientOf(at, { dpop: rings[n] }))
    const subjects = sharedPlace(clock).sessions
    const tokens = createUserTokenManager({
      clock,
      subjects,
      clients: { one: one ?? clientOf(server), other: other ?? clientOf(server) },
    })
    for (const [n, name] of (['one', 'other'] as const).entries()) {
      const jkt = await rings[n]?.thumbprint()
      await tokens.forSubject(name, name).adopt({ ...rotating.login(name), token_type: 'DPoP', jkt })
      await clock.advance(HOUR)
      const token = await tokens.forSubject(name, name).source().getToken()
      expect(token).toMatchObject({ accessToken: `access-${name}-1`, jkt })
    }
  })

  test('A1.04 two servers whose refresh tokens have the same text, one store: nobody gets the token of the other server', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const answerOf = (name: string) => () => ({
      body: JSON.stringify({
        access_token: `access-${name}`,
        token_type: 'Bearer',
        expires_in: 3600,
        refresh_token: 'refresh-1',
      }),
    })
    server.answer = answerOf('one')
    elsewhere.answer = answerOf('other')
    const place = sharedPlace(clock)
    const shared = { subjects: place.sessions, store: place.store, clock }
    const one = createUserTokenManager({ ...shared, clients: { web: clientOf(server) } })
    const other = createUserTokenManager({ ...shared, clients: { web: clientOf(elsewhere) } })
    const login = { access_token: 'access-0', refresh_token: 'refresh-0', expires_in: 3600 }
    await one.forSubject('web', 'alice').adopt({ ...login, subject: 'alice' })
    await other.forSubject('web', 'bob').adopt({ ...login, subject: 'bob' })
    await clock.advance(HOUR)
    expect((await one.forSubject('web', 'alice').source().getToken()).accessToken).toBe('access-one')
    expect((await other.forSubject('web', 'bob').source().getToken()).accessToken).toBe('access-other')
  })

  test('A1.04 a server that gives one refresh token for all sign-ins of a user: each session stays what it is', async ({
    server,
    clock,
  }) => {
    server.answer = () => ({
      body: JSON.stringify({ access_token: 'access-1', token_type: 'Bearer', expires_in: 3600 }),
    })
    const sessions = storedSessions(memoryRecords({ clock }), { clock, absoluteMs: 3 * HOUR, idleMs: 3 * HOUR })
    const users = createUserTokenManager({ clients: { web: clientOf(server) }, clock, graceMs: HOUR })
    const login = { access_token: 'access-0', refresh_token: 'refresh-alice', expires_in: 3600, subject: 'alice' }
    const [first, second] = [sessions.create(), sessions.create()]
    await users.forSession('web', first).adopt({ ...login, claims: { at: 'home' } })
    const before = await users.forSession('web', sessions.open(first.id)).read()
    await clock.advance(HOUR / 2)
    await users.forSession('web', second).adopt({ ...login, claims: { at: 'work' } })
    await clock.advance(HOUR / 2)
    await users.forSession('web', sessions.open(second.id)).source().getToken({ forceRenewal: true })
    await users.forSession('web', sessions.open(first.id)).source().getToken()
    const after = await users.forSession('web', sessions.open(first.id)).read()
    expect(after).toMatchObject({ startedAt: before?.startedAt, claims: { at: 'home' } })
  })

  test('A1.04 two clients of one server, one subject: the refresh token of one is never sent for the other', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const { sessions: subjects } = sharedPlace(clock)
    const clients = { web: clientOf(server), mobile: clientOf(server, { clientId: 'mobile' }) }
    const tokens = createUserTokenManager({ clock, subjects, clients })
    await tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    expect(await tokens.forSubject('mobile', 'alice').read()).toBeUndefined()
    await tokens.forSubject('mobile', 'alice').adopt({ ...rotating.login('phone'), subject: 'alice' })
    await clock.advance(HOUR)
    expect((await tokens.forSubject('web', 'alice').source().getToken()).accessToken).toBe('access-alice-1')
    expect((await tokens.forSubject('mobile', 'alice').source().getToken()).accessToken).toBe('access-phone-1')
  })

  test('A1.04 A1.08 a session that was begun with one client is none for another: its refresh token goes to no other server', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const clients = {
      one: clientOf(server),
      other: clientOf(elsewhere),
      third: clientOf(server, { clientId: 'third' }),
    }
    const tokens = createUserTokenManager({ clock, clients })
    const session = place.sessions.create()
    await tokens.forSession('one', session).adopt(rotating.login('alice'))
    for (const elapsed of [0, HOUR]) {
      await clock.advance(elapsed)
      for (const name of ['other', 'third'] as const) {
        const error = await rejection(tokens.forSession(name, session).source().getToken())
        expect(error).toMatchObject({ name: 'SessionError', reason: 'no_session' })
      }
    }
    expect(elsewhere.requests).toHaveLength(0)
    expect((await tokens.forSession('one', session).source().getToken()).accessToken).toBe('access-alice-1')
  })
})

describe('U10 an answer about somebody else', () => {
  const before = { sub: 'alice', aud: 'machine', auth_time: 100, nonce: 'n-1' }
  const FAULTS: readonly { readonly name: string; readonly claims: Readonly<Record<string, unknown>> }[] = [
    { name: 'another sub', claims: { sub: 'bob' } },
    { name: 'no sub', claims: { sub: undefined } },
    { name: 'another iss', claims: { iss: 'https://evil.example' } },
    { name: 'another aud', claims: { aud: 'other' } },
    { name: 'another aud beside ours', claims: { aud: ['machine', 'other'] } },
    { name: 'no aud', claims: { aud: undefined } },
    { name: 'another azp', claims: { azp: 'other' } },
    { name: 'no exp', claims: { exp: undefined } },
    { name: 'an exp in the past', claims: { exp: 1 } },
    { name: 'no iat', claims: { iat: undefined } },
    { name: 'another auth_time', claims: { auth_time: 200 } },
    { name: 'another nonce', claims: { nonce: 'n-2' } },
  ]
  for (const { name, claims } of FAULTS) {
    test(`N18.01 N18.03 N18.04 N18.09 A1.08 U10 ${name} in the ID token of a refresh: nothing of the answer is kept or handed out, and an event tells`, async ({
      server,
      clock,
      recorder,
    }) => {
      let changes: Readonly<Record<string, unknown>> = claims
      const iat = Math.floor(clock.now() / 1000)
      const stays = () => ({ iss: server.origin, ...before, iat, exp: 4e9 })
      const rotating = createRotatingServer({
        members: () => ({ refresh_token: undefined, id_token: idToken({ ...stays(), ...changes }) }),
      })
      // A refresh token that does not rotate, so that the session can go on.
      server.answer = withMetadata(server, async (request) => {
        const { form } = request
        if (form.get('refresh_token') === 'refresh-alice-0') rotating.login('alice')
        return rotating.answer(request)
      })
      const place = sharedPlace(clock)
      const [one] = discoveringFleet(place, { server, clock }, { telemetry: recorder }) as [Manager]
      const alice = one.forSubject('web', 'alice')
      await alice.adopt({ ...rotating.login('alice'), id_token: idToken(stays()) })
      await clock.advance(HOUR)
      const saves = place.counts.get('before save')
      const error = await rejection(alice.source().getToken())
      expect(error.name).toBe('TokenResponseError')
      expect(place.counts.get('before save')).toBe(saves)
      expect(place.counts.get('before successor')).toBeUndefined()
      expect(recorder.events).toContainEqual(expect.objectContaining({ name: 'refresh_discarded', client: 'web' }))
      // A server that comes to its senses finds the session as it was.
      changes = {}
      await clock.advance(10_000)
      expect((await alice.source().getToken()).accessToken).toBe('access-alice-1')
    })
  }

  test('N18.09 U10 no ID token, or one that leaves out nonce and auth_time, is fine', async ({ server, clock }) => {
    const iat = Math.floor(clock.now() / 1000)
    const base = { iss: server.origin, sub: 'alice', aud: 'machine', iat, exp: 4e9 }
    let n = 0
    const rotating = createRotatingServer({ members: () => (++n === 1 ? {} : { id_token: idToken(base) }) })
    server.answer = withMetadata(server, rotating.answer)
    const [one] = discoveringFleet(sharedPlace(clock), { server, clock }) as [Manager]
    await one
      .forSubject('web', 'alice')
      .adopt({ ...rotating.login('alice'), id_token: idToken({ ...base, ...before }) })
    for (const expected of ['access-alice-1', 'access-alice-2', 'access-alice-3']) {
      await clock.advance(HOUR)
      expect(await textOf(one, 'alice')).toBe(expected)
    }
  })

  test.for([
    { name: 'no access token', login: { access_token: undefined } },
    { name: 'an access token that fits into no header', login: { access_token: 'a b' } },
    { name: 'no subject', login: { subject: undefined } },
    { name: 'an empty subject', login: { subject: '' } },
    { name: 'a lifetime that is no number', login: { expires_in: 'soon' } },
    { name: 'a token type that nobody knows', login: { token_type: 'mac' } },
    { name: 'DPoP without a thumbprint', login: { token_type: 'DPoP' } },
    { name: 'a refresh token that is no text', login: { refresh_token: 7 } },
    { name: 'an ID token that is none', login: { id_token: 'x' } },
    { name: 'an ID token of somebody else', login: { id_token: idToken({ sub: 'bob' }) } },
  ])('bad input: adopt refuses $name, and there is no session', async ({ login }, { server, clock }) => {
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    const bad = { ...createRotatingServer().login('alice'), ...login } as never
    expect(await rejection(alice.adopt(bad))).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
    expect(await alice.read()).toBeUndefined()
  })
})

describe('A1.13 another account in the same browser', () => {
  const places = ['before the old request asks', 'while it waits for its refresh'] as const
  for (const kind of ['stored', 'carried'] as const) {
    test.for(places)(
      `A1.13 %s, ${kind}: the old request gets nothing of the new user, and the new one is not disturbed`,
      async (when, { server, clock }) => {
        const rotating = createRotatingServer()
        const answered = createGate()
        server.answer = async (request) => {
          if (request.form.get('refresh_token')?.startsWith('refresh-alice')) await answered.opened
          return rotating.answer(request)
        }
        const place = sharedPlace(clock)
        const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
        const jar = createJar('browser')
        const stored = place.sessions.create()
        const request = () => (kind === 'stored' ? stored : jar.request())
        const signIn = async (manager: Manager, user: string): Promise<void> => {
          const session = request()
          await manager.forSession('web', session).adopt(rotating.login(user))
          if ('respond' in session && typeof session.respond === 'function') session.respond()
        }
        await signIn(one, 'alice')
        const oldRequest = request()
        const old = one.forSession('web', oldRequest)
        expect((await old.source().getToken()).accessToken).toBe('access-alice-0')
        await clock.advance(HOUR)
        const outcome = async (): Promise<string> =>
          old
            .source()
            .getToken()
            .then(
              ({ accessToken }) => accessToken,
              ({ name }) => name,
            )
        let got: Promise<string>
        if (when === 'while it waits for its refresh') {
          const asked = nextPost(server)
          got = outcome()
          await asked
          await signIn(other, 'bob')
          answered.open()
        } else {
          await signIn(one, 'bob')
          answered.open()
          got = outcome()
        }
        expect(await got).toMatch(/^(access-alice-1|SessionError)$/)
        expect(await outcome()).toMatch(/^(access-alice-\d|SessionError)$/)
        // The answer of the old request comes last, and must not put its cookie over the new one.
        if ('respond' in oldRequest && typeof oldRequest.respond === 'function') oldRequest.respond()
        for (const manager of [one, other]) {
          const now = manager.forSession('web', request())
          expect(await now.read()).toMatchObject({ subject: 'bob' })
          expect((await now.source().getToken()).accessToken).toBe('access-bob-0')
        }
      },
    )
  }

  test('A1.13 the same user signs in again: a request of before has no session any more', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const session = place.sessions.create()
    await one.forSession('web', session).adopt(rotating.login('alice'))
    const old = one.forSession('web', session)
    await old.read()
    await clock.advance(HOUR)
    await one.forSession('web', session).adopt(rotating.login('alice'))
    expect(await rejection(old.source().getToken())).toMatchObject({ name: 'SessionError', reason: 'signed_out' })
    expect((await one.forSession('web', session).source().getToken()).accessToken).toBe('access-alice-0')
    expect(refreshes(server)).toEqual([])
  })

  test('A1.13 a job of a user who signs in again has the new tokens', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const job = one.forSubject('web', 'alice')
    await job.read()
    await clock.advance(HOUR)
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    expect((await job.source().getToken()).accessToken).toBe('access-alice-0')
    expect(refreshes(server)).toEqual([])
  })
})

describe('A1.06 the context of callers', () => {
  test('A1.06 a refresh that is shared sees no caller, and each caller sees itself afterwards', async ({
    server,
    clock,
  }) => {
    const users = new AsyncLocalStorage<string>()
    const seen: string[] = []
    const see = (what: string): void => void seen.push(`${what} ${users.getStore()}`)
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const telemetry: Telemetry = {
      async run(operation, work) {
        if (operation.name === 'token.request') see(operation.name)
        return work({})
      },
      note: ({ name }) => see(name),
    }
    const place = sharedPlace(clock)
    place.reach = (step) => /save|intent|successor|forget|turn/.test(step) && see(step)
    const tokens = createUserTokenManager({
      clock,
      subjects: place.sessions,
      store: place.store,
      lock: place.lock,
      telemetry,
      clientAssertion: () => see('service') as undefined,
      transformClaims: () => {
        see('claims')
        return {}
      },
      fetch(input, init) {
        see('fetch')
        return fetch(input, init)
      },
      clients: { web: clientOf(server) },
    })
    const alice = tokens.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    seen.length = 0
    const after = await Promise.all(
      ['ann', 'bob', 'cyd'].map((user) =>
        users.run(user, async () => {
          await alice.source().getToken()
          return users.getStore()
        }),
      ),
    )
    expect(after).toEqual(['ann', 'bob', 'cyd'])
    expect(seen).toContain('fetch undefined')
    expect(seen.filter((each) => !each.endsWith(' undefined'))).toEqual([])
  })
})

describe('U11 U13 claims, and no request at all', () => {
  test('U11 what the application makes of claims is made after the refresh, kept, and seen by other processes', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const options = {
      transformClaims: ({
        subject,
        claims,
      }: {
        subject: string
        claims?: Readonly<Record<string, unknown>> | undefined
      }) => ({
        subject,
        times: Number(claims?.times ?? 0) + 1,
      }),
    }
    const [one, other] = fleetAt(place, { server, clock }, options) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    await textOf(one, 'alice')
    expect((await other.forSubject('web', 'alice').read())?.claims).toEqual({ subject: 'alice', times: 2 })
  })

  test('U13 a job that knows nothing but the subject goes on in another process, for days', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const subjects = storedSessions(memoryRecords({ clock }), { clock })
    const start = () =>
      createUserTokenManager({ clock, subjects, lock: localLock(), clients: { web: clientOf(server) } })
    await start().forSubject('web', 'alice').adopt(rotating.login('alice'))
    for (let n = 1; n <= 48; n++) {
      await clock.advance(HOUR)
      expect((await start().forSubject('web', 'alice').source().getToken()).accessToken).toBe(`access-alice-${n}`)
    }
    expect(rotating.reuses).toBe(0)
  })
})
