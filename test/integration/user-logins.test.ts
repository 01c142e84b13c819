import { none } from 'evertoken'
import { dpopKeyRing } from 'evertoken/dpop'
import { createUserTokenManager, type LoginResponse } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import type { HostileServer } from '../support/hostile-server.ts'
import { createTestKey } from '../support/keys.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import type { TestClock } from '../support/test-clock.ts'
import {
  discoveringFleet,
  fleetAt,
  HOUR,
  idToken,
  type Manager,
  sharedPlace,
  withMetadata,
} from '../support/user-fleet.ts'

interface World {
  readonly server: HostileServer
  readonly clock: TestClock
}

/** Two processes, a user in a session, and somebody to sign in. */
function world({ server, clock }: World, issuer?: 'with an issuer') {
  const rotating = createRotatingServer()
  server.answer = withMetadata(server, rotating.answer)
  const place = sharedPlace(clock)
  const fleet = issuer === undefined ? fleetAt(place, { server, clock }) : discoveringFleet(place, { server, clock })
  const [one, other] = fleet as [Manager, Manager]
  const session = place.sessions.create()
  const adopt = async (login: object) => one.forSession('web', session).adopt(login as LoginResponse)
  const elsewhere = () => other.forSession('web', place.sessions.open(session.id))
  return { rotating, one, adopt, elsewhere }
}

describe('bad input: what is no login', () => {
  test.for([
    { name: 'nothing', login: undefined },
    { name: 'null', login: null },
    { name: 'a text', login: 'access-1' },
    { name: 'a number for scope', login: { scope: 5 } },
    { name: 'a list for scope', login: { scope: ['openid'] } },
    { name: 'a number for jkt', login: { token_type: 'DPoP', jkt: 5 } },
    { name: 'an empty jkt', login: { jkt: '' } },
    { name: 'a number for id_token', login: { id_token: 5 } },
    { name: 'a text for id_token that is no JWT', login: { id_token: 'secret' } },
    { name: 'a number for subject', login: { subject: 5 } },
    { name: 'nobody', login: { subject: '' } },
    { name: 'a BigInt for access_token', login: { access_token: 1n } },
    { name: 'a BigInt for expires_in', login: { expires_in: 3600n } },
    { name: 'a symbol for token_type', login: { token_type: Symbol('secret') } },
    { name: 'an object without a prototype for token_type', login: { token_type: Object.create(null) } },
    { name: 'milliseconds for expires_at', login: { expires_in: null, expires_at: Date.UTC(2030, 0) } },
    { name: 'no instant for expires_at', login: { expires_in: null, expires_at: 'tomorrow' } },
    {
      name: 'a member that cannot be read',
      login: {
        get id_token() {
          throw new TypeError('secret')
        },
      },
    },
  ])('$name is refused as login_invalid', async ({ login }, { server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const given = typeof login === 'object' && login !== null ? withMembers(rotating.login('alice'), login) : login
    const error = await rejection(adopt(given as object))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
    expect(String(error)).not.toContain('secret')
    expect(await elsewhere().read()).toBeUndefined()
  })

  test.for([
    { name: 'seconds', of: (now: number) => now / 1000 },
    { name: 'an hour from now', of: (now: number) => now + HOUR },
    { name: 'no number', of: () => Number.NaN },
    { name: 'infinity', of: () => Number.POSITIVE_INFINITY },
    { name: 'a text', of: (now: number) => String(now) },
    { name: 'a Date', of: (now: number) => new Date(now) },
    { name: 'a BigInt', of: (now: number) => BigInt(now) },
  ])('receivedAt: $name is refused, and told that milliseconds are meant', async ({ of }, { server, clock }) => {
    const { rotating, adopt } = world({ server, clock })
    const error = await rejection(adopt({ ...rotating.login('alice'), receivedAt: of(clock.now()) }))
    expect(error).toMatchObject({ code: 'login_invalid' })
    expect(String(error)).toContain('milliseconds')
  })

  test('each member is asked for once: what a getter says the second time is not kept', async ({ server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const { access_token, ...rest } = rotating.login('alice')
    let times = 0
    const login = {
      ...rest,
      get access_token() {
        return times++ === 0 ? access_token : 'another one'
      },
    }
    await adopt(login)
    expect((await elsewhere().source().getToken()).accessToken).toBe(access_token)
    expect(times).toBe(1)
  })
})

/** Getters stay what they are. */
function withMembers(login: object, members: object): object {
  return Object.defineProperties({ ...login }, Object.getOwnPropertyDescriptors(members))
}

describe('U1 what libraries make of a login', () => {
  test('U1 null stands for what is left out', async ({ server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const nothing = { token_type: null, expires_at: null, receivedAt: null, id_token: null, jkt: null, claims: null }
    await adopt({ ...rotating.login('alice'), ...nothing, scope: null, expires_in: null, refresh_expires_in: null })
    expect(await elsewhere().read()).toMatchObject({ subject: 'alice', startedAt: clock.now(), claims: undefined })
    expect(await elsewhere().source().getToken()).toMatchObject({
      tokenType: 'Bearer',
      expiresAt: clock.now() + 300_000,
    })
  })

  test('U1 Passport: the parameters of the answer, and two tokens', async ({ server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const { access_token, refresh_token, ...parameters } = rotating.login('alice')
    await adopt({ ...parameters, access_token, refresh_token })
    await clock.advance(HOUR)
    expect((await elsewhere().source().getToken()).accessToken).toBe('access-alice-1')
  })

  test.for([
    { name: 'a number', of: (seconds: number) => seconds },
    { name: 'a text', of: (seconds: number) => String(seconds) },
  ])('U1 express-openid-connect: expires_at in seconds, $name', async ({ of }, { server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const { expires_in: _, ...login } = rotating.login('alice')
    const seconds = Math.floor(clock.now() / 1000) + 600
    await adopt({ ...login, expires_at: of(seconds) })
    expect(await elsewhere().source().getToken()).toMatchObject({ expiresAt: seconds * 1000 })
    await clock.advance(600_000)
    expect((await elsewhere().source().getToken()).accessToken).toBe('access-alice-1')
  })

  test('U1 a login whose access token has expired by expires_at is refreshed at once', async ({ server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock })
    const { expires_in: _, ...login } = rotating.login('alice')
    await adopt({ ...login, expires_at: Math.floor(clock.now() / 1000) - 600 })
    expect((await elsewhere().source().getToken()).accessToken).toBe('access-alice-1')
  })
})

describe('A1 a login that is somebody else’s', () => {
  test('A1.01 forSubject refuses the login of another subject', async ({ server, clock }) => {
    const { rotating, one } = world({ server, clock })
    const alice = one.forSubject('web', 'alice')
    expect(await rejection(alice.adopt(rotating.login('bob')))).toMatchObject({ code: 'login_invalid' })
    expect(await alice.read()).toBeUndefined()
    await alice.adopt(rotating.login('alice'))
    expect(await alice.read()).toMatchObject({ subject: 'alice' })
  })

  test.for([
    { claim: 'iss', claims: { iss: 'https://other.example' }, expected: 'iss' },
    { claim: 'iss', claims: { iss: undefined }, expected: 'iss' },
    { claim: 'aud', claims: { aud: 'other' }, expected: 'machine' },
    { claim: 'aud', claims: { aud: ['other', 'another'] }, expected: 'machine' },
    { claim: 'aud', claims: { aud: undefined }, expected: 'machine' },
    { claim: 'azp', claims: { aud: ['machine', 'other'], azp: 'other' }, expected: 'machine' },
    { claim: 'sub', claims: { sub: 'other' }, expected: 'subject' },
  ])('A5.01 N18.01 an ID token with $claims is refused', async ({ claim, claims, expected }, { server, clock }) => {
    const { rotating, adopt } = world({ server, clock }, 'with an issuer')
    const base = { iss: server.origin, sub: 'alice', aud: 'machine', exp: 4e9 }
    const error = await rejection(adopt({ ...rotating.login('alice'), id_token: idToken({ ...base, ...claims }) }))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
    expect(String(error)).toContain(claim === 'sub' ? 'subject' : claim)
    expect(String(error)).toContain(claim === 'iss' ? server.origin : expected)
    expect(String(error)).not.toContain('other')
  })

  test.for([
    { name: 'several audiences', claims: { aud: ['other', 'machine'], azp: 'machine' } },
    { name: 'the slash of an empty path', claims: {}, slash: '/' },
  ])('N18.01 an ID token with $name is taken', async ({ claims, slash = '' }, { server, clock }) => {
    const { rotating, adopt, elsewhere } = world({ server, clock }, 'with an issuer')
    const base = { iss: `${server.origin}${slash}`, sub: 'alice', aud: 'machine', exp: 4e9 }
    await adopt({ ...rotating.login('alice'), id_token: idToken({ ...base, ...claims }) })
    expect(await elsewhere().read()).toMatchObject({ subject: 'alice' })
  })
})

test('D5 tokens that are bound to a key are refused for a client without dpop, and taken for one with it', async ({
  server,
  clock,
}) => {
  const ring = dpopKeyRing((await createTestKey('ES256', 'k1')).jwk, { clock })
  const login = { ...createRotatingServer().login('alice'), token_type: 'DPoP', jkt: await ring.thumbprint() }
  const { sessions: subjects } = sharedPlace(clock)
  const clients = { plain: clientOf(server), bound: clientOf(server, { dpop: ring, authentication: none() }) }
  const users = createUserTokenManager({ clock, subjects, clients })
  const error = await rejection(users.forSubject('plain', 'alice').adopt(login))
  expect(error).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
  await users.forSubject('bound', 'alice').adopt(login)
  expect(await users.forSubject('bound', 'alice').source().getToken()).toMatchObject({ tokenType: 'DPoP' })
})
