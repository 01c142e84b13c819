import { describe, expect } from 'vitest'
import { cookieWorld } from '../support/carried-sessions.ts'
import { createCookieJar } from '../support/cookie-jar.ts'
import { createRecorder, rejection, test } from '../support/fixtures.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { fleetAt, HOUR, type Manager, sharedPlace, textOf, whileTimePasses } from '../support/user-fleet.ts'

const circular: Record<string, unknown> = {}
circular.self = circular

/** What no session can keep, as a table that lacks the user, an ORM or a careless line gives it. */
const NO_CLAIMS = [
  { name: 'null', claims: null },
  { name: 'a text', claims: 'admin' },
  { name: 'a list', claims: ['admin'] },
  { name: 'a Map', claims: new Map([['role', 'admin']]) },
  { name: 'a BigInt in an object', claims: { id: 12n } },
  { name: 'an object that holds itself', claims: circular },
  { name: 'an object that is a text as JSON', claims: { toJSON: () => 'admin' } },
  { name: 'an object that is nothing as JSON', claims: { toJSON: () => undefined } },
  { name: 'more than there is room for', claims: { groups: 'x'.repeat(16_384) } },
] as const

describe('U11 claims that no session can keep', () => {
  test.for(NO_CLAIMS)(
    'U11 U6 $name after a refresh: the tokens are kept, claims stay, and an event tells',
    async ({ claims }, { server, clock }) => {
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      const telemetry = createRecorder()
      let isBroken = false
      const transformClaims = () => (isBroken ? (claims as never) : { tenant: '1' })
      const [one, other] = fleetAt(sharedPlace(clock), { server, clock }, { transformClaims, telemetry }) as [
        Manager,
        Manager,
      ]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      isBroken = true
      for (const [n, manager] of [one, other].entries()) {
        await clock.advance(HOUR)
        expect(await textOf(manager, 'alice')).toBe(`access-alice-${n + 1}`)
        expect((await manager.forSubject('web', 'alice').read())?.claims).toEqual({ tenant: '1' })
      }
      expect(rotating.reuses).toBe(0)
      const failed = { name: 'claims_failed', client: 'web', error: 'claims_invalid' }
      expect(telemetry.events.filter((event) => event.name === failed.name)).toEqual([failed, failed])
    },
  )

  test.for(NO_CLAIMS)(
    'U11 $name at the login is told to whoever adopts it',
    async ({ name, claims }, { server, clock }) => {
      const rotating = createRotatingServer()
      const place = sharedPlace(clock)
      const [plain] = fleetAt(place, { server, clock }) as [Manager]
      const [transforming] = fleetAt(place, { server, clock }, { transformClaims: () => claims as never }) as [Manager]
      const login = rotating.login('alice')
      // JSON null stands for what is left out.
      const given = name === 'null' ? [] : [{ manager: plain, login: { ...login, claims: claims as never } }]
      for (const { manager, login: each } of [{ manager: transforming, login }, ...given]) {
        const error = await rejection(manager.forSubject('web', 'alice').adopt(each))
        expect(error).toMatchObject({ name: 'ConfigurationError', code: 'login_invalid' })
        expect(String(error)).not.toContain('admin')
      }
      expect(await plain.forSubject('web', 'alice').read()).toBeUndefined()
    },
  )

  test('U11 a transform may give nothing', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    let times = 0
    const transformClaims = () => (times++ === 0 ? { role: 'user' } : undefined)
    const [one] = fleetAt(sharedPlace(clock), { server, clock }, { transformClaims }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    expect((await alice.read())?.claims).toEqual({ role: 'user' })
    await clock.advance(HOUR)
    await textOf(one, 'alice')
    expect(await alice.read()).toMatchObject({ subject: 'alice', claims: undefined })
  })

  test('U11 a transform that does not end at the login is not waited for without end', async ({ server, clock }) => {
    const transformClaims = () => new Promise<never>(() => {})
    const [one] = fleetAt(sharedPlace(clock), { server, clock }, { transformClaims }) as [Manager]
    const adopted = one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    const error = await rejection(whileTimePasses(clock, adopted, 1000))
    expect(error).toMatchObject({ name: 'ConfigurationError', code: 'claims_late' })
  })
})

describe('A1.05 claims are nobody else’s', () => {
  test('A1.05 what a caller does to the claims that read() gave is seen by no other request, and not kept', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const { sessions } = cookieWorld({}, clock)
    const jar = createCookieJar()
    const first = await sessions.fromRequest(undefined)
    await one.forSession('web', first).adopt({ ...rotating.login('alice'), claims: { roles: ['user'] } })
    jar.take(first.setCookies)
    const old = jar.header
    await clock.advance(HOUR)
    // A request that refreshes, and whose handler is careless.
    const user = one.forSession('web', await sessions.fromRequest(jar.header))
    await user.source().getToken()
    const roles = (await user.read())?.claims?.roles as string[]
    expect(() => roles.push('admin')).toThrow(TypeError)
    const next = await sessions.fromRequest(old)
    expect((await one.forSession('web', next).read())?.claims).toEqual({ roles: ['user'] })
    const kept = await sessions.fromRequest(next.setCookies[0]?.split(';')[0])
    expect((await kept.load())?.claims).toEqual({ roles: ['user'] })
  })

  test('A1.05 an object of claims may be used again for the next user', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const claims = { name: 'alice', roles: ['user'] }
    for (const user of ['alice', 'bob']) {
      claims.name = user
      claims.roles[0] = `user of ${user}`
      await one.forSubject('web', user).adopt({ ...rotating.login(user), claims })
    }
    const found = await one.forSubject('web', 'alice').read()
    expect(found?.claims).toEqual({ name: 'alice', roles: ['user of alice'] })
  })
})
