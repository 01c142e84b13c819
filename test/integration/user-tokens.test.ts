import { localLock, memoryRecords, memoryStore } from 'evertoken'
import { createUserTokenManager, storedSessions, type UserTokenManagerOptions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, type HostileServer, reset } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import type { TestClock } from '../support/test-clock.ts'

const HOUR = 3_600_000

type Options = Partial<UserTokenManagerOptions<Record<string, never>>>

interface World {
  readonly server: HostileServer
  readonly clock: TestClock
}

/** Managers that share records, store and lock, as processes do. */
function fleet(size: number, { server, clock }: World, options: Options = {}) {
  const subjects = storedSessions(memoryRecords({ clock }), { clock })
  const shared = { clock, subjects, store: memoryStore({ clock }), lock: localLock(), ...options }
  return Array.from({ length: size }, () => createUserTokenManager({ ...shared, clients: { web: clientOf(server) } }))
}

type Manager = ReturnType<typeof fleet>[number]

async function textOf(tokens: Manager, subject: string): Promise<string> {
  return (await tokens.forSubject('web', subject).source().getToken()).accessToken
}

describe('U2 a user with a refresh token', () => {
  test('U2 the tokens of a login are used without a request, and refreshed before they expire', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [tokens] = fleet(1, { server, clock }) as [Manager]
    await tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    expect(await textOf(tokens, 'alice')).toBe('access-alice-0')
    expect(server.requests).toHaveLength(0)
    await clock.advance(HOUR - 1000)
    expect(await textOf(tokens, 'alice')).toBe('access-alice-1')
    await clock.advance(HOUR)
    expect(await textOf(tokens, 'alice')).toBe('access-alice-2')
    expect(server.requests.map(({ form }) => form.get('refresh_token'))).toEqual(['refresh-alice-0', 'refresh-alice-1'])
    expect(rotating.reuses).toBe(0)
  })

  test('F5.01 U5 1,000 callers, one expired token: one refresh', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [tokens] = fleet(1, { server, clock }) as [Manager]
    await tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const got = await Promise.all(Array.from({ length: 1000 }, () => textOf(tokens, 'alice')))
    expect(new Set(got)).toEqual(new Set(['access-alice-1']))
    expect(server.requests).toHaveLength(1)
  })

  test('F5.02 U5 4 processes, 20 users, everything expired: one refresh for each user', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const processes = fleet(4, { server, clock }) as Manager[]
    const users = Array.from({ length: 20 }, (_, n) => `user${n}`)
    for (const user of users) await processes[0]?.forSubject('web', user).adopt(rotating.login(user))
    await clock.advance(HOUR)
    const got = await Promise.all(
      processes.flatMap((tokens) => users.flatMap((user) => [textOf(tokens, user), textOf(tokens, user)])),
    )
    expect(got).toHaveLength(160)
    for (const user of users) expect(rotating.refreshes.get(user)).toBe(1)
    expect(rotating.reuses).toBe(0)
  })

  test('F5.09 U4 two resources at once: two refreshes, one after the other, each caller its own', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [tokens] = fleet(1, { server, clock }) as [Manager]
    const alice = tokens.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const got = await Promise.all(['urn:a', 'urn:b', 'urn:a'].map((resource) => alice.source({ resource }).getToken()))
    expect(got.map(({ accessToken }) => accessToken)).toEqual([
      'access-alice-1-urn:a',
      'access-alice-2-urn:b',
      'access-alice-1-urn:a',
    ])
    expect(rotating.reuses).toBe(0)
  })
})

describe('U7 what ends a session', () => {
  test.for([
    { name: '500', answer: () => ({ status: 500, body: '' }) },
    { name: '429', answer: () => ({ status: 429, body: '' }) },
    { name: 'invalid_client', answer: () => errorJson(401, 'invalid_client') },
    { name: 'HTML', answer: () => ({ body: '<html>' }) },
    { name: 'a cut connection', answer: () => reset },
  ])('U7 not $name: the next refresh works with the same token', async ({ answer }, { server, clock }) => {
    const rotating = createRotatingServer()
    const [tokens] = fleet(1, { server, clock }) as [Manager]
    await tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    server.answer = answer
    await rejection(textOf(tokens, 'alice'))
    await clock.advance(60_000)
    server.answer = rotating.answer
    expect(await textOf(tokens, 'alice')).toBe('access-alice-1')
  })

  test('U7 F5.11 N23.02 invalid_grant does, when the access token has expired', async ({ server, clock, recorder }) => {
    const rotating = createRotatingServer()
    const [tokens] = fleet(1, { server, clock }, { telemetry: recorder }) as [Manager]
    await tokens.forSubject('web', 'alice').adopt(rotating.login('alice'))
    server.answer = () => errorJson(400, 'invalid_grant')
    await clock.advance(HOUR - 1000)
    expect(await textOf(tokens, 'alice')).toBe('access-alice-0')
    expect(await textOf(tokens, 'alice')).toBe('access-alice-0')
    expect(server.requests).toHaveLength(1)
    await clock.advance(1000)
    const error = await rejection(textOf(tokens, 'alice'))
    expect(error).toMatchObject({ name: 'SessionError', reason: 'refresh_token_rejected' })
    expect(recorder.events).toContainEqual({ name: 'session_ended', client: 'web', reason: 'refresh_token_rejected' })
    expect(server.requests).toHaveLength(1)
  })
})

describe('U9 sign-out', () => {
  test('F5.13 U9 a refresh that is under way does not bring the session back, and is revoked', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    let open = (): void => {}
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    const metadata = {
      issuer: server.origin,
      token_endpoint: server.tokenEndpoint,
      revocation_endpoint: `${server.origin}/revoke`,
    }
    server.answer = async (request) => {
      if (request.method === 'GET') return { body: JSON.stringify(metadata) }
      if (request.url !== '/revoke') await opened
      return rotating.answer(request)
    }
    const subjects = storedSessions(memoryRecords({ clock }), { clock })
    const clients = { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) }
    const shared = { clients, clock, subjects, store: memoryStore({ clock }), lock: localLock() }
    const [one, other] = [createUserTokenManager(shared), createUserTokenManager(shared)]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = (async () => {
      for (;;) if ((await server.nextRequest()).url === '/token') return
    })()
    const refreshing = rejection(one.forSubject('web', 'alice').source().getToken())
    await asked
    await other.forSubject('web', 'alice').signOut()
    open()
    expect(await refreshing).toMatchObject({ name: 'SessionError', reason: 'signed_out' })
    expect(rotating.isAlive('alice')).toBe(false)
    expect(rotating.revoked[0]).toMatch(/^refresh-alice-[01]$/)
    const after = await rejection(one.forSubject('web', 'alice').source().getToken())
    expect(after).toMatchObject({ name: 'SessionError' })
  })
})
