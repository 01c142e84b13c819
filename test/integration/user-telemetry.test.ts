import { localLock, StoreError, type WithLock } from 'evertoken'
import { describe, expect } from 'vitest'
import { type Recorder, rejection, test } from '../support/fixtures.ts'
import { errorJson } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import {
  createGate,
  fleetAt,
  HOUR,
  type Manager,
  type SharedPlace,
  sharedPlace,
  textOf,
  type World,
  whileTimePasses,
} from '../support/user-fleet.ts'

const PATIENT = { deadlineMs: 1e9 }

const down: WithLock = async () => {
  throw new StoreError('expected a lock, got none', { code: 'lock_unavailable' })
}

/** Alice's access token has expired; `one` is watched. */
async function signedIn(world: World, recorder: Recorder, options: Parameters<typeof fleetAt>[2] = {}) {
  const rotating = createRotatingServer()
  world.server.answer = rotating.answer
  const place: SharedPlace = sharedPlace(world.clock)
  const [one] = fleetAt(place, world, { telemetry: recorder, ...options }) as [Manager]
  const [other] = fleetAt(place, world, options) as [Manager]
  await other.forSubject('web', 'alice').adopt(rotating.login('alice'))
  await world.clock.advance(HOUR)
  return { rotating, place, one, other }
}

const waitsOf = ({ outcomes }: Recorder) =>
  outcomes.flatMap(({ operation, error }) => (operation.name === 'lock.wait' ? [[operation, error]] : []))
const locksOf = ({ events }: Recorder) => events.filter(({ name }) => name.startsWith('lock_'))

describe('O1 a call for a token of a user', () => {
  test('O1 is an operation: of a source, of fetch and of an authorizer, from memory or not, and one that fails', async ({
    server,
    elsewhere,
    clock,
    recorder,
  }) => {
    const { one } = await signedIn({ server, clock }, recorder)
    const alice = one.forSubject('web', 'alice')
    const source = alice.source()
    for (const _ of [1, 2]) await source.getToken()
    await alice.fetch({ baseUrl: elsewhere.origin })('list')
    await alice.authorizer({ baseUrl: elsewhere.origin }).begin({ method: 'GET', url: new URL(elsewhere.origin) })
    server.answer = () => errorJson(400, 'invalid_grant')
    await rejection(source.getToken({ forceRenewal: true }))
    const gets = recorder.outcomes.filter(({ operation }) => operation.name === 'token.get')
    expect(gets.map(({ operation, error }) => [operation, error])).toEqual([
      ...Array.from({ length: 4 }, () => [{ name: 'token.get', client: 'web' }, undefined]),
      [{ name: 'token.get', client: 'web' }, 'sign_in_required'],
    ])
  })

  test('O1 is one operation where a customiser is asked, and its failure is the end of it', async ({
    server,
    elsewhere,
    clock,
    recorder,
  }) => {
    let isBroken = false
    const { one } = await signedIn({ server, clock }, recorder, {
      customizeRequest({ request }) {
        if (isBroken) throw new Error('no tenant')
        return request
      },
    })
    const alice = one.forSubject('web', 'alice')
    await alice.source().getToken()
    await alice.fetch({ baseUrl: elsewhere.origin })('list')
    isBroken = true
    await rejection(alice.source().getToken())
    const gets = recorder.outcomes.filter(({ operation }) => operation.name === 'token.get')
    expect(gets.map(({ error }) => error)).toEqual([undefined, undefined, 'customizer_failed'])
  })
})

describe('O1 where the token of a user came from', () => {
  const tiersOf = ({ outcomes }: Recorder) =>
    outcomes.flatMap(({ operation, cache }) => (operation.name === 'token.get' ? [cache] : []))

  test('O1 the server, memory, the session, another process, and memory although it is time', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one, other, rotating } = await signedIn({ server, clock }, recorder)
    const alice = one.forSubject('web', 'alice')
    await alice.source().getToken()
    await alice.source().getToken()
    // Another request reads the session.
    await textOf(one, 'alice')
    expect(tiersOf(recorder)).toEqual(['miss', 'l1', 'l2'])
    await clock.advance(HOUR)
    await alice.read()
    await textOf(other, 'alice')
    await alice.source().getToken()
    expect(tiersOf(recorder).slice(3)).toEqual(['l2'])
    await clock.advance(HOUR - 30_000)
    const asked = createGate()
    const answered = createGate()
    server.answer = async (request) => {
      asked.open()
      await answered.opened
      return rotating.answer(request)
    }
    const waits = alice.source().getToken()
    await asked.opened
    await alice.source().getToken()
    answered.open()
    await waits
    expect(tiersOf(recorder).slice(4)).toEqual(['miss', 'stale'])
  })

  test('O1 a refresh that fails while the token lives: memory although it is time', async ({
    server,
    clock,
    recorder,
  }) => {
    const { one } = await signedIn({ server, clock }, recorder)
    await textOf(one, 'alice')
    await clock.advance(HOUR - 30_000)
    server.answer = () => ({ status: 500, body: '' })
    await textOf(one, 'alice')
    await clock.advance(30_000)
    await rejection(textOf(one, 'alice'))
    // What failed came from nowhere.
    expect(tiersOf(recorder)).toEqual(['miss', 'stale', undefined])
  })
})

describe('O1 F7 the lock of users', () => {
  test('O1 waiting for a turn is an operation, and all is well', async ({ server, clock, recorder }) => {
    const { one } = await signedIn({ server, clock }, recorder)
    await textOf(one, 'alice')
    expect(waitsOf(recorder)).toEqual([[{ name: 'lock.wait', lock: 'tokens' }, undefined]])
    expect(locksOf(recorder)).toEqual([])
  })

  test('O1 the turn of a refresh ends the waiting, not the refresh', async ({ server, clock, recorder }) => {
    const { one, rotating } = await signedIn({ server, clock }, recorder)
    const asked = createGate()
    const answered = createGate()
    server.answer = async (request) => {
      asked.open()
      await answered.opened
      return rotating.answer(request)
    }
    let isWaiting = false
    const { run } = recorder
    recorder.run = async (operation, work) => {
      if (operation.name === 'lock.wait') isWaiting = true
      try {
        return await run(operation, work)
      } finally {
        if (operation.name === 'lock.wait') isWaiting = false
      }
    }
    const got = textOf(one, 'alice')
    await asked.opened
    expect(isWaiting).toBe(false)
    answered.open()
    await got
    expect(waitsOf(recorder)).toHaveLength(1)
  })

  test('F7.05 down, and back: told once each, however often', async ({ server, clock, recorder }) => {
    let lock: WithLock = down
    const changing: WithLock = (...asked) => lock(...asked)
    const { one, rotating } = await signedIn({ server, clock }, recorder, { lock: changing, ...PATIENT })
    for (let n = 1; n <= 3; n++) {
      expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe(`access-alice-${n}`)
      await clock.advance(HOUR)
    }
    expect(locksOf(recorder)).toEqual([{ name: 'lock_down', error: 'lock_unavailable' }])
    lock = localLock()
    for (let n = 4; n <= 6; n++) {
      expect(await textOf(one, 'alice')).toBe(`access-alice-${n}`)
      await clock.advance(HOUR)
    }
    expect(locksOf(recorder)).toEqual([{ name: 'lock_down', error: 'lock_unavailable' }, { name: 'lock_up' }])
    expect(rotating.reuses).toBe(0)
  })

  test.for([
    { name: 'that listens', isDeaf: false },
    { name: 'that does not listen', isDeaf: true },
  ])(
    'F7.05 taken for too long, a lock $name: told, the waiting ends, and nobody goes on without it',
    async ({ isDeaf }, { server, clock, recorder }) => {
      const asked = createGate()
      let giveTurn = (): Promise<unknown> => Promise.resolve()
      const taken: WithLock = (_name, task, options) =>
        new Promise((_resolve, reject) => {
          if (!isDeaf) options?.signal?.addEventListener('abort', () => reject(options.signal?.reason))
          giveTurn = async () => task()
          asked.open()
        })
      const { one } = await signedIn({ server, clock }, recorder, { lock: taken })
      const refused = rejection(textOf(one, 'alice'))
      await asked.opened
      await clock.advance(60_000)
      expect(await refused).toMatchObject({ code: 'coordination_unavailable' })
      expect(waitsOf(recorder)).toEqual([[{ name: 'lock.wait', lock: 'tokens' }, 'lock_timeout']])
      expect(await rejection(giveTurn())).toMatchObject({ code: 'lock_timeout' })
      expect(locksOf(recorder)).toEqual([{ name: 'lock_down', error: 'lock_timeout' }])
      expect(server.requests).toHaveLength(0)
    },
  )

  test('F7.04 a lock that cannot be given back: what came of the turn counts, and it is not down', async ({
    server,
    clock,
    recorder,
  }) => {
    const sticky: WithLock = async (_name, task) => {
      await task()
      throw new Error('the lock service went away')
    }
    const { one } = await signedIn({ server, clock }, recorder, { lock: sticky })
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect(locksOf(recorder)).toEqual([])
  })

  test('O1 no lock of the application is no waiting', async ({ server, clock, recorder }) => {
    const { one } = await signedIn({ server, clock }, recorder, { lock: undefined })
    await textOf(one, 'alice')
    expect(waitsOf(recorder)).toEqual([])
  })
})
