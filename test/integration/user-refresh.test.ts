import { encryptedRecords } from 'evertoken'
import { storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { rejection, test } from '../support/fixtures.ts'
import { errorJson, type SeenRequest } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { settle } from '../support/test-clock.ts'
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
  type World,
  withMetadata,
} from '../support/user-fleet.ts'

describe('U2 U5 the next refresh token', () => {
  test('F5.03 U5 a process that waited for its turn reads again: what it knew before is never sent', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      await answered.opened
      return rotating.answer(request)
    }
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const first = textOf(one, 'alice')
    await asked
    const waits = createGate()
    place.reach = (step) => step === 'after load' && waits.open()
    const second = textOf(other, 'alice')
    await waits.opened
    answered.open()
    expect(await Promise.all([first, second])).toEqual(['access-alice-1', 'access-alice-1'])
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
    expect(place.counts.get('turn')).toBe(2)
  })

  test('F5.03 U5 a request of another process that still has the token before gets its successor without a turn', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const late = other.forSubject('web', 'alice')
    await late.source().getToken()
    await clock.advance(HOUR - 1000)
    // Has loaded the set now, and asks when another process has refreshed it.
    await late.read()
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect((await late.source().getToken()).accessToken).toBe('access-alice-1')
    expect(place.counts.get('turn')).toBe(1)
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })

  test.for([
    { name: 'F5.07 U2 a refresh token that has rotated is the one that is used next', members: {}, next: 1 },
    { name: 'F5.08 U2 one that the answer leaves out stays', members: { refresh_token: undefined }, next: 0 },
    { name: 'F5.08 U2 null is left out', members: { refresh_token: null }, next: 0 },
    { name: 'F5.08 U2 an empty one is left out', members: { refresh_token: '' }, next: 0 },
  ])('$name', async ({ members, next }, { server, clock }) => {
    const rotating = createRotatingServer({ members: () => members })
    server.answer = rotating.answer
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    for (const manager of [one, other]) {
      await clock.advance(HOUR)
      await textOf(manager, 'alice').catch(() => {})
    }
    expect(refreshes(server)).toEqual(['refresh-alice-0', `refresh-alice-${next}`])
  })

  test('U2 an ID token and a scope that the answer leaves out stay', async ({ server, clock }) => {
    const rotating = createRotatingServer({ members: () => ({ scope: undefined, id_token: undefined }) })
    server.answer = withMetadata(server, rotating.answer)
    const seen: unknown[] = []
    const place = sharedPlace(clock)
    const [one] = discoveringFleet(
      place,
      { server, clock },
      {
        transformClaims: ({ idTokenClaims }) => {
          seen.push(idTokenClaims.email)
          return {}
        },
      },
    ) as [Manager]
    const alice = one.forSubject('web', 'alice')
    const id_token = idToken({ iss: server.origin, sub: 'alice', aud: 'machine', email: 'alice@example' })
    await alice.adopt({ ...rotating.login('alice'), id_token, scope: 'openid orders' })
    await clock.advance(HOUR)
    expect(await alice.source().getToken()).toMatchObject({ accessToken: 'access-alice-1', scope: 'openid orders' })
    expect(seen).toEqual(['alice@example', 'alice@example'])
  })

  test('U3 expired, and there never was a refresh token: a SessionError, and no request', async ({ server, clock }) => {
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const { refresh_token: _, ...login } = createRotatingServer().login('alice')
    await one.forSubject('web', 'alice').adopt(login)
    expect(await textOf(one, 'alice')).toBe('access-alice-0')
    await clock.advance(HOUR)
    const error = await rejection(textOf(one, 'alice'))
    expect(error).toMatchObject({ name: 'SessionError', code: 'sign_in_required', reason: 'no_refresh_token' })
    expect(server.requests).toHaveLength(0)
  })

  test('F5.09 U4 1 refresh token, 5 resources and scopes from 2 processes at once: one refresh each, each caller its own', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const managers = fleetAt(sharedPlace(clock), { server, clock }).slice(0, 2)
    await managers[0]?.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const wishes = ['urn:a', 'urn:b', 'urn:c', 'urn:d', 'urn:e'].map((resource, n) => ({ resource, scope: `s${n}` }))
    const got = await Promise.all(
      managers.flatMap((manager) =>
        wishes.map(async (wish) => ({
          wish,
          token: await manager.forSubject('web', 'alice').source(wish).getToken(),
        })),
      ),
    )
    for (const { wish, token } of got) {
      expect(token.accessToken).toMatch(new RegExp(`-${wish.resource}$`))
      expect(token.scope).toBe(wish.scope)
    }
    expect(server.requests).toHaveLength(5)
    expect(rotating.reuses).toBe(0)
  })
})

describe('when there is a refresh', () => {
  test('F5.11 dead at the server while the access token lives: used until it expires, one try, also in other processes and requests', async ({
    server,
    clock,
  }) => {
    server.answer = () => errorJson(400, 'invalid_grant')
    const managers = fleetAt(sharedPlace(clock), { server, clock })
    await managers[0]?.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR - 1000)
    for (const manager of [...managers, ...managers]) expect(await textOf(manager, 'alice')).toBe('access-alice-0')
    expect(server.requests).toHaveLength(1)
    await clock.advance(1000)
    for (const manager of [...managers, ...managers]) {
      expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ reason: 'refresh_token_rejected' })
    }
    expect(server.requests).toHaveLength(1)
  })

  test('F5.11 dead at the server, and expired: each process says why, and the server is asked once', async ({
    server,
    clock,
  }) => {
    server.answer = () => errorJson(400, 'invalid_grant')
    const managers = fleetAt(sharedPlace(clock), { server, clock })
    await managers[0]?.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR)
    for (const manager of [...managers, ...managers]) {
      expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ reason: 'refresh_token_rejected' })
    }
    expect(server.requests).toHaveLength(1)
  })

  test('F5.16 nothing is refreshed that nobody waits for: time alone sends no request', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await clock.advance(HOUR - 400_000)
    await alice.source().getToken()
    for (let n = 0; n < 8; n++) await clock.advance(HOUR / 4)
    expect(server.requests).toHaveLength(0)
    expect(clock.pending).toBe(0)
  })

  test('F5.16 from the soft edge on one caller waits, and the others go on with the token that lives', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      await answered.opened
      return rotating.answer(request)
    }
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR - 1000)
    const asked = nextPost(server)
    const waits = textOf(one, 'alice')
    await asked
    expect(await textOf(one, 'alice')).toBe('access-alice-0')
    answered.open()
    expect(await waits).toBe('access-alice-1')
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
  })

  test('F5.17 1,000 sign-ins in one second: in no fifteenth of the time of refreshes more than 3 times the mean of refreshes', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const users = Array.from({ length: 1000 }, (_, n) => `user${n}`)
    await Promise.all(users.map((user) => one.forSubject('web', user).adopt(rotating.login(user))))
    await clock.advance(HOUR - 375_000)
    const peaks: number[] = []
    const BINS = 15
    for (let bin = 0; bin < BINS; bin++) {
      const before = server.requests.length
      await clock.advance(75_000 / BINS)
      await Promise.all(users.map((user) => textOf(one, user)))
      peaks.push(server.requests.length - before)
    }
    expect(Math.max(...peaks)).toBeLessThanOrEqual((3 * 1000) / BINS)
    expect(server.requests).toHaveLength(1000)
  })

  test('U14 a refusal of an API, and a renewal on demand: a refresh each, shared by all who want it', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const source = one.forSubject('web', 'alice').source()
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const first = await source.getToken()
    const refused = await Promise.all(Array.from({ length: 50 }, () => source.getToken({ rejected: first })))
    expect(new Set(refused.map(({ accessToken }) => accessToken))).toEqual(new Set(['access-alice-1']))
    // A straggler costs nothing.
    expect((await source.getToken({ rejected: first })).accessToken).toBe('access-alice-1')
    const forced = await Promise.all(Array.from({ length: 50 }, () => source.getToken({ forceRenewal: true })))
    expect(new Set(forced.map(({ accessToken }) => accessToken))).toEqual(new Set(['access-alice-2']))
    expect(server.requests).toHaveLength(2)
  })

  test('U14 a renewal on demand beside a refresh for another resource: never the very token that the caller has', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      await answered.opened
      return rotating.answer(request)
    }
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const source = alice.source()
    await source.getToken()
    const asked = nextPost(server)
    const resource = alice.source({ resource: 'urn:b' }).getToken()
    await asked
    const forced = source.getToken({ forceRenewal: true })
    answered.open()
    await resource
    expect((await forced).accessToken).toBe('access-alice-2')
  })

  test('U14 a renewal on demand in a process that has not heard of a refresh for another resource: a new token', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    const source = one.forSubject('web', 'alice').source()
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    expect((await source.getToken()).accessToken).toBe('access-alice-0')
    await other.forSubject('web', 'alice').source({ resource: 'urn:b' }).getToken()
    expect((await source.getToken({ forceRenewal: true })).accessToken).toBe('access-alice-2')
  })

  test('U14 F3 an API that refuses every token: 600 calls in 10 minutes cost no more than 16 refreshes', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    for (let n = 0; n < 600; n++) {
      const token = await alice.source().getToken()
      await alice.source().getToken({ rejected: token })
      await clock.advance(1000)
    }
    expect(server.requests.length).toBeGreaterThan(5)
    expect(server.requests.length).toBeLessThanOrEqual(16)
  })
})

describe('F4.08 U5 a refresh that has been sent', () => {
  /** A server that answers when it is told to. */
  const held = () => {
    const rotating = createRotatingServer()
    const answered = createGate()
    const answer = async (request: SeenRequest) => {
      await answered.opened
      return rotating.answer(request)
    }
    return { rotating, answered, answer }
  }

  test('F4.08 U5 is finished and kept when its caller has gone: the caller leaves at once with its own reason, and the next one has the token', async ({
    server,
    clock,
  }) => {
    const { rotating, answered, answer } = held()
    server.answer = answer
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const caller = new AbortController()
    const left = rejection(textOf(one, 'alice', { signal: caller.signal }))
    await asked
    const reason = new Error('the browser has gone')
    caller.abort(reason)
    // Before the server has said anything, and without a wrapper around it.
    expect(await left).toBe(reason)
    const saved = createGate()
    place.reach = (step) => step === 'after save' && saved.open()
    answered.open()
    await saved.opened
    for (const manager of [one, other]) expect(await textOf(manager, 'alice')).toBe('access-alice-1')
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })

  test('F4.08 U5 is waited for by whoever comes while it is under way, although the one who began it has gone', async ({
    server,
    clock,
  }) => {
    const { rotating, answered, answer } = held()
    server.answer = answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const caller = new AbortController()
    const left = rejection(textOf(one, 'alice', { signal: caller.signal }))
    await asked
    const next = textOf(one, 'alice')
    caller.abort()
    expect(await left).toBe(caller.signal.reason)
    answered.open()
    expect(await next).toBe('access-alice-1')
    expect(server.requests).toHaveLength(1)
  })

  test('F4.08 F5.14 is waited for by close, although nobody waits for it any more, and is kept', async ({
    server,
    clock,
  }) => {
    const { rotating, answered, answer } = held()
    server.answer = answer
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const caller = new AbortController()
    const left = rejection(textOf(one, 'alice', { signal: caller.signal }))
    await asked
    caller.abort()
    await left
    let isClosed = false
    const closing = one.close().then(() => {
      isClosed = true
    })
    await settle()
    expect(isClosed).toBe(false)
    answered.open()
    await closing
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })
})

describe('U4 U6 a user with very many access tokens', () => {
  /** A user for whom a token was got for each of so many resources, in this order. */
  async function served(
    { server, clock }: World,
    { resources, padding = '' }: { readonly resources: number; readonly padding?: string },
  ) {
    const rotating = createRotatingServer({
      // As servers with groups in their tokens make them.
      members: ({ subject, n }) => ({ access_token: `access-${subject}-${n}${padding}` }),
    })
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const subjects = storedSessions(
      encryptedRecords(place.records, { keys: [{ id: 'one', key: new Uint8Array(32) }] }, { clock }),
      { clock },
    )
    const [one, other] = fleetAt(place, { server, clock }, { subjects }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const tokenOf = (manager: Manager, resource: number) =>
      manager
        .forSubject('web', 'alice')
        .source({ resource: `urn:tenant:${resource}` })
        .getToken()
    for (let n = 1; n <= resources; n++) await tokenOf(one, n)
    const kept = await subjects
      .ofSubject({ issuer: server.tokenEndpoint, clientId: 'machine', subject: 'alice' })
      .load()
    const texts = kept?.accessTokens.map(({ token }) => token.accessToken.slice(0, 'access-alice-00'.length)) ?? []
    return { rotating, texts, tokenOf, other }
  }

  test('U4 the newest twenty beside the last one are kept, and one that was dropped is got again', async ({
    server,
    clock,
  }) => {
    const { texts, tokenOf, other, rotating } = await served({ server, clock }, { resources: 30 })
    expect(texts).toEqual(Array.from({ length: 21 }, (_, n) => `access-alice-${n + 10}`))
    expect((await tokenOf(other, 15)).accessToken).toBe('access-alice-15')
    expect((await tokenOf(other, 1)).accessToken).toBe('access-alice-31')
    expect(rotating.reuses).toBe(0)
  })

  test.for([5_000, 20_000, 60_000])(
    'U6 F5.07 with %i characters in each, the refresh token of the last refresh is kept all the same',
    async (length, { server, clock }) => {
      const resources = 50
      const padding = 'x'.repeat(length)
      const { rotating, texts, tokenOf, other } = await served({ server, clock }, { resources, padding })
      expect(texts.at(-1)).toBe('access-alice-50')
      expect((await tokenOf(other, resources + 1)).accessToken).toBe(`access-alice-51${padding}`)
      expect({ reuses: rotating.reuses, isAlive: rotating.isAlive('alice') }).toEqual({ reuses: 0, isAlive: true })
    },
  )
})

test('U2 OpenID Connect Core 12.2: the same audiences in another order are the same', async ({ server, clock }) => {
  const iat = Math.floor(clock.now() / 1000)
  const base = { iss: server.origin, sub: 'alice', azp: 'machine', iat, exp: 4e9 }
  const rotating = createRotatingServer({
    members: () => ({ id_token: idToken({ ...base, aud: ['urn:api', 'machine'] }) }),
  })
  server.answer = withMetadata(server, rotating.answer)
  const [one] = discoveringFleet(sharedPlace(clock), { server, clock }) as [Manager]
  const id_token = idToken({ ...base, aud: ['machine', 'urn:api'] })
  await one.forSubject('web', 'alice').adopt({ ...rotating.login('alice'), id_token })
  await clock.advance(HOUR)
  expect(await textOf(one, 'alice')).toBe('access-alice-1')
})
