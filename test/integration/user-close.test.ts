import { createUserTokenManager } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { hang } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import {
  createGate,
  discoveringFleet,
  HOUR,
  lost,
  type Manager,
  nextPost,
  sharedPlace,
  textOf,
  type World,
  whileTimePasses,
  withMetadata,
} from '../support/user-fleet.ts'

/** Requests that are never too late, for tests in which time passes in steps. */
const PATIENT = { deadlineMs: 1e9 }

type Options = Parameters<typeof discoveringFleet>[2]

/** Alice's access token has expired, at a server that can revoke. */
async function signedIn(
  world: World,
  options: Options = {},
  rotation: Parameters<typeof createRotatingServer>[0] = {},
) {
  const { server, clock } = world
  const rotating = createRotatingServer(rotation)
  server.answer = withMetadata(server, rotating.answer)
  const place = sharedPlace(clock)
  const [one] = discoveringFleet(place, world, options) as [Manager]
  await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
  await clock.advance(HOUR)
  return { rotating, place, one }
}

/** Whether something has ended, without a wait for it. */
function watched(work: Promise<unknown>): { isOver: boolean } {
  const state = { isOver: false }
  void work.then(() => {
    state.isOver = true
  })
  return state
}

describe('F5.14 F8.02 close has a bound', () => {
  for (const { name, options, boundMs } of [
    { name: '10 seconds', options: {}, boundMs: 10_000 },
    { name: '`closeMs`', options: { closeMs: 3000 }, boundMs: 3000 },
  ]) {
    test(`F5.14 a server that hangs: close comes back after ${name}, and twice`, async ({ server, clock }) => {
      const { one } = await signedIn({ server, clock }, { deadlineMs: 60_000, ...options })
      server.answer = withMetadata(server, () => hang)
      const asked = nextPost(server)
      void textOf(one, 'alice').catch(() => {})
      await asked
      const closing = [one.close(), one.close()]
      const closed = watched(Promise.all(closing))
      await clock.advance(boundMs - 1)
      expect(closed.isOver).toBe(false)
      await clock.advance(1)
      await Promise.all(closing)
    })
  }

  test('F5.14 what has not been sent when the time is up never is: neither a replay, nor what waits behind it', async ({
    server,
    clock,
  }) => {
    const { one } = await signedIn({ server, clock }, { closeMs: 3000, deadlineMs: 5000 })
    server.answer = withMetadata(server, () => hang)
    const alice = one.forSubject('web', 'alice')
    const asked = nextPost(server)
    const first = rejection(alice.source({ resource: 'urn:a' }).getToken())
    const second = rejection(alice.source({ resource: 'urn:b' }).getToken())
    await asked
    const closing = one.close()
    await clock.advance(3000)
    await closing
    await clock.advance(2000)
    // Who waits for a turn shares what befalls whoever has it.
    for (const refused of [first, second]) expect(await refused).toMatchObject({ code: 'timeout' })
    expect(server.requests.filter(({ url }) => url === '/token')).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  test('F5.14 a server that hangs for as long as close waits is not asked again', async ({ server, clock }) => {
    const { one } = await signedIn({ server, clock })
    server.answer = withMetadata(server, () => hang)
    const asked = nextPost(server)
    const refused = rejection(textOf(one, 'alice'))
    await asked
    const closing = one.close()
    await clock.advance(10_000)
    await closing
    expect(await refused).toMatchObject({ code: 'timeout' })
    expect(server.requests.filter(({ url }) => url === '/token')).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  test('F5.14 F5.06 an answer that gets lost while close waits is asked for again at once', async ({
    server,
    clock,
  }) => {
    const { one, rotating, place } = await signedIn({ server, clock }, PATIENT, { hasGrace: true })
    const cut = createGate()
    let requests = 0
    server.answer = withMetadata(server, async (request) => {
      if (++requests > 1) return rotating.answer(request)
      await cut.opened
      return lost(rotating.answer)(request)
    })
    const asked = nextPost(server)
    const got = textOf(one, 'alice')
    await asked
    const closing = one.close()
    cut.open()
    await closing
    expect(await got).toBe('access-alice-1')
    const [fresh] = discoveringFleet(place, { server, clock }) as [Manager]
    expect(await textOf(fresh, 'alice')).toBe('access-alice-1')
  })

  test('F5.14 nothing is under way: it is over at once, and leaves nothing behind', async ({ server, clock }) => {
    const { one } = await signedIn({ server, clock })
    await one.close()
    expect(clock.pending).toBe(0)
  })

  test('F5.14 a bound that makes no sense is refused', ({ server }) => {
    for (const closeMs of [0, -1, 1.5, '1' as never]) {
      expect(() => createUserTokenManager({ closeMs, clients: { web: clientOf(server) } })).toThrow(/closeMs/)
    }
  })
})

describe('F5.05 F5.14 close, and the session store takes no write', () => {
  const failing = (step: string) => {
    if (step === 'before save') throw new Error('READONLY')
  }

  test('F5.05 F5.14 it takes one again: what was in memory only is written, and close is over at once', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one, place, rotating } = await signedIn({ server, clock }, { telemetry: recorder, ...PATIENT })
    place.reach = failing
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    place.reach = () => {}
    await one.close()
    expect(clock.pending).toBe(0)
    // A process that has only the session, and no word of the refresh.
    const [fresh] = discoveringFleet(place, { server, clock }, { store: undefined }) as [Manager]
    expect(await textOf(fresh, 'alice')).toBe('access-alice-1')
    expect(rotating.reuses).toBe(0)
    expect(recorder.events.filter(({ name }) => name === 'session_persist_failed')).toHaveLength(1)
  })

  test('F5.05 F5.14 it still takes none: offered once more, told, and close is over', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one, place } = await signedIn({ server, clock }, { telemetry: recorder, ...PATIENT })
    place.reach = failing
    await whileTimePasses(clock, textOf(one, 'alice'))
    const saves = place.counts.get('before save') ?? 0
    await one.close()
    expect(place.counts.get('before save')).toBe(saves + 1)
    expect(recorder.events.at(-1)).toEqual({ name: 'session_persist_failed', client: 'web' })
    expect(recorder.events.filter(({ name }) => name === 'session_persist_failed')).toHaveLength(2)
    expect(clock.pending).toBe(0)
    // Those who still have the token before find what came after it.
    const [fresh] = discoveringFleet(place, { server, clock }, PATIENT) as [Manager]
    expect(await textOf(fresh, 'alice')).toBe('access-alice-1')
  })

  test('F5.05 F5.14 it hangs: close comes back all the same', async ({ server, clock }) => {
    const { one, place } = await signedIn({ server, clock }, PATIENT)
    place.reach = failing
    await whileTimePasses(clock, textOf(one, 'alice'))
    place.reach = (step) => (step === 'before save' ? new Promise(() => {}) : undefined)
    const began = clock.now()
    await whileTimePasses(clock, one.close())
    expect(clock.now() - began).toBeLessThanOrEqual(2100)
  })

  test('F5.05 F5.14 a refresh that comes back while close waits: tried as often as ever, and once more', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one, place, rotating } = await signedIn({ server, clock }, { telemetry: recorder, ...PATIENT })
    const answered = createGate()
    server.answer = withMetadata(server, async (request) => {
      await answered.opened
      return rotating.answer(request)
    })
    const asked = nextPost(server)
    const got = textOf(one, 'alice')
    await asked
    place.reach = failing
    const before = place.counts.get('before save') ?? 0
    const closing = one.close()
    answered.open()
    await whileTimePasses(clock, closing)
    expect(await got).toBe('access-alice-1')
    expect(place.counts.get('before save')).toBe(before + 6)
    expect(recorder.events.filter(({ name }) => name === 'session_persist_failed')).toHaveLength(2)
  })
})

describe('F5.14 N3.03 close, and a revocation that has failed', () => {
  async function signedOut(world: World, options: Options) {
    const { server } = world
    const { rotating, one, place } = await signedIn(world, { ...PATIENT, ...options })
    await textOf(one, 'alice')
    server.answer = withMetadata(server, () => ({ status: 503, headers: { 'retry-after': '60' }, body: '' }))
    await one.forSubject('web', 'alice').signOut()
    expect(rotating.isAlive('alice')).toBe(true)
    return { rotating, one, place }
  }
  const revocations = ({ server }: Pick<World, 'server'>) => server.requests.filter(({ url }) => url === '/revoke')

  test('F5.14 N3.03 the server is up again: told before close is over', async ({ server, clock, recorder }) => {
    const { rotating, one } = await signedOut({ server, clock }, { telemetry: recorder })
    server.answer = withMetadata(server, rotating.answer)
    await one.close()
    expect(rotating.isAlive('alice')).toBe(false)
    expect(clock.pending).toBe(0)
    expect(recorder.events.map(({ name }) => name)).not.toContain('revocation_failed')
  })

  test('F5.14 N3.03 the server is still down: told of, one try more for each token, and close is over', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one } = await signedOut({ server, clock }, { telemetry: recorder })
    const tries = revocations({ server }).length
    await one.close()
    expect(revocations({ server })).toHaveLength(2 * tries)
    expect(recorder.events.filter(({ name }) => name === 'revocation_failed')).toHaveLength(tries)
    expect(clock.pending).toBe(0)
  })

  test('F5.14 a sign-out that is under way is waited for', async ({ server, clock }) => {
    const { one, rotating } = await signedIn({ server, clock }, PATIENT)
    const answered = createGate()
    server.answer = withMetadata(server, async (request) => {
      await answered.opened
      return rotating.answer(request)
    })
    const told = nextPost(server, '/revoke')
    const signingOut = one.forSubject('web', 'alice').signOut()
    await told
    const closing = one.close()
    const closed = watched(closing)
    await clock.advance(5000)
    expect(closed.isOver).toBe(false)
    answered.open()
    await closing
    await signingOut
    expect(rotating.isAlive('alice')).toBe(false)
  })
})
