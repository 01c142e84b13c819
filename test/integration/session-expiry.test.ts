import { createUserTokenManager } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { cookieWorld, found } from '../support/carried-sessions.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import type { Handler } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import {
  createGate,
  discoveringFleet,
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

/** Alice signs in; each ID token says what `expiries` has for it, one after the other, and nothing at the end of them. */
async function signedIn({ server, clock }: World, expiries: readonly unknown[], options: object = {}) {
  const seconds = [...expiries]
  const token = () => {
    const iat = Math.floor(clock.now() / 1000)
    const session_expiry = seconds.shift()
    return idToken({ iss: server.origin, sub: 'alice', aud: 'machine', iat, exp: 4e9, session_expiry })
  }
  const rotating = createRotatingServer({ members: () => (seconds.length === 0 ? {} : { id_token: token() }) })
  server.answer = withMetadata(server, rotating.answer)
  const place = sharedPlace(clock)
  const [one, other] = discoveringFleet(place, { server, clock }, options) as [Manager, Manager]
  const login = { ...rotating.login('alice'), id_token: token() }
  await one.forSubject('web', 'alice').adopt(login)
  return { place, one, other, login }
}

const secondsAt = (now: number, ms: number): number => Math.floor(now / 1000) + ms / 1000

describe('session_expiry: the server says how long a session may last', () => {
  test('nothing is used after it, though the access token lives, and nothing is refreshed', async ({
    server,
    clock,
  }) => {
    const by = secondsAt(clock.now(), HOUR / 2)
    const { one, other } = await signedIn({ server, clock }, [by])
    const alice = one.forSubject('web', 'alice')
    expect((await alice.read())?.signInBy).toBe(by * 1000)
    const source = alice.source()
    await source.getToken()
    await clock.advance(by * 1000 - clock.now() - 1)
    expect((await source.getToken()).accessToken).toBe('access-alice-0')
    await clock.advance(1)
    // It has the session in memory, and tells what has become of it; to others it is gone.
    const error = await rejection(source.getToken())
    expect(error).toMatchObject({ name: 'SessionError', code: 'sign_in_required', reason: 'session_expired' })
    expect(await alice.read()).toBeUndefined()
    expect(await rejection(textOf(other, 'alice'))).toMatchObject({ name: 'SessionError', reason: 'no_session' })
    expect(refreshes(server)).toEqual([])
  })

  test('of two ends that the server has told the newer one counts; where a refresh says nothing the one before stays', async ({
    server,
    clock,
    recorder,
  }) => {
    const start = clock.now()
    const hours = [2, 4, undefined].map((n) => n && secondsAt(start, n * HOUR))
    const { one } = await signedIn({ server, clock }, hours, { telemetry: recorder })
    const alice = one.forSubject('web', 'alice')
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect((await alice.read())?.signInBy).toBe(secondsAt(start, 4 * HOUR) * 1000)
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-2')
    const told = () => recorder.events.filter(({ name }) => name === 'session_expiring')
    expect(told()).toEqual([])
    // The token that this brings lives until after the end: there will be no other one.
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-3')
    expect(told()).toEqual([{ name: 'session_expiring', client: 'web', expiresAt: secondsAt(start, 4 * HOUR) * 1000 }])
    await clock.advance(HOUR)
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ name: 'SessionError' })
    expect(refreshes(server)).toHaveLength(3)
  })

  test('a refresh says that it is over already: nobody gets its token, or the one of before', async ({
    server,
    clock,
  }) => {
    const { one, other } = await signedIn({ server, clock }, [undefined, secondsAt(clock.now(), 10_000)])
    // Renewed before it expires: the token of before is good for a second.
    await clock.advance(HOUR - 1000)
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ reason: 'session_expired' })
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ name: 'SessionError' })
    expect(await rejection(textOf(other, 'alice'))).toMatchObject({ name: 'SessionError' })
  })

  test('it passes while a refresh is under way: nobody gets the token', async ({ server, clock }) => {
    const by = secondsAt(clock.now(), HOUR + 5000)
    const { one } = await signedIn({ server, clock }, [by], { deadlineMs: 60_000 })
    const answer = server.answer as Handler
    const answered = createGate()
    server.answer = async (request) => {
      if (request.url === '/token') await answered.opened
      return answer(request)
    }
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const got = rejection(textOf(one, 'alice'))
    await asked
    await clock.advance(10_000)
    answered.open()
    expect(await got).toMatchObject({ name: 'SessionError', reason: 'session_expired' })
  })

  test('a session store of the application, which knows nothing of it, does not keep a session beyond it', async ({
    server,
    clock,
  }) => {
    const { one, login } = await signedIn({ server, clock }, [secondsAt(clock.now(), HOUR / 2)])
    let set: unknown
    const own = {
      id: 'own-session-1',
      load: () => set as never,
      save(next: unknown) {
        set = next
        return true
      },
      clear() {
        set = undefined
      },
    }
    await one.forSession('web', own).adopt(login)
    await clock.advance(HOUR)
    const user = one.forSession('web', own)
    expect(await rejection(user.source().getToken())).toMatchObject({ reason: 'session_expired' })
    expect(await rejection(user.source().getToken({ forceRenewal: true }))).toMatchObject({ reason: 'session_expired' })
    expect(await user.read()).toBeUndefined()
    expect(refreshes(server)).toEqual([])
  })

  test('a cookie is none after it, and says so to the browser', async ({ server, clock }) => {
    const { login } = await signedIn({ server, clock }, [secondsAt(clock.now(), HOUR / 2)])
    const world = cookieWorld({}, clock)
    const tokens = createUserTokenManager({ clients: { web: clientOf(server) }, clock })
    const session = await world.sessions.fromRequest(undefined)
    await tokens.forSession('web', session).adopt(login)
    const jar = createCookieJar()
    jar.take(session.setCookies)
    const [, maxAge] = /Max-Age=(\d+)/.exec(String(session.setCookies[0])) ?? []
    expect(Number(maxAge)).toBeLessThanOrEqual(HOUR / 2000)
    expect((await found(world, jar.header)).subject).toBe('alice')
    await clock.advance(HOUR / 2)
    expect((await found(world, jar.header)).subject).toBeUndefined()
    await tokens.close()
  })

  test.for([0, 60])(
    'bad input: a login whose session has been over for %d seconds is refused',
    async (ago, { server, clock }) => {
      const refused = await rejection(signedIn({ server, clock }, [secondsAt(clock.now(), -ago * 1000)]))
      expect(refused).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
    },
  )

  test.for([null, 'soon', 0, -5, 1e12, {}])('%j says nothing', async (value, { server, clock }) => {
    const { one } = await signedIn({ server, clock }, [value])
    expect((await one.forSubject('web', 'alice').read())?.signInBy).toBeUndefined()
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
  })
})

test('N23.01 a refresh token that expires: when, and an event with the last tokens', async ({
  server,
  clock,
  recorder,
}) => {
  const start = clock.now()
  const left = (now: number) => (start + 3 * HOUR - now) / 1000
  const rotating = createRotatingServer({ members: () => ({ refresh_expires_in: left(clock.now()) }) })
  server.answer = withMetadata(server, rotating.answer)
  const [one] = discoveringFleet(sharedPlace(clock), { server, clock }, { telemetry: recorder }) as [Manager]
  const alice = one.forSubject('web', 'alice')
  await alice.adopt({ ...rotating.login('alice'), refresh_expires_in: 3 * 3600 })
  for (const expected of [0, 1]) {
    expect(recorder.events.filter(({ name }) => name === 'session_expiring')).toHaveLength(0)
    expect(await textOf(one, 'alice')).toBe(`access-alice-${expected}`)
    await clock.advance(HOUR)
  }
  expect(await textOf(one, 'alice')).toBe('access-alice-2')
  expect((await alice.read())?.signInBy).toBe(start + 3 * HOUR)
  const told = recorder.events.filter(({ name }) => name === 'session_expiring')
  expect(told).toEqual([{ name: 'session_expiring', client: 'web', expiresAt: start + 3 * HOUR }])
})
