import { localLock, memoryRecords, memoryStore, type RecordStore, StoreError, type WithLock } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { createJar } from '../support/carried-jar.ts'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { errorJson, hang } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { createTestClock } from '../support/test-clock.ts'
import {
  createGate,
  fleetAt,
  HOUR,
  type Manager,
  nextPost,
  refreshes,
  sharedPlace,
  textOf,
  whileTimePasses,
} from '../support/user-fleet.ts'

/** Requests that are never too late, for tests in which time passes in steps. */
const PATIENT = { deadlineMs: 1e9 }

const failing = (step: string) => (reached: string) => {
  if (reached === step) throw new Error('READONLY')
}

describe('F7.05 a lock that is not to be had', () => {
  const down: WithLock = async () => {
    throw new StoreError('expected a lock, got none', { code: 'lock_unavailable' })
  }

  test('F7.05 down, and the session is in a store that compares: goes on without', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }, { lock: down }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    expect(server.requests).toHaveLength(1)
  })

  test('F7.05 down, and 4 processes want a refresh at the same time: one refresh, no reuse', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const fleet = fleetAt(sharedPlace(clock), { server, clock }, { lock: down, ...PATIENT })
    await fleet[0]?.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const got = await whileTimePasses(clock, Promise.all(fleet.map((manager) => textOf(manager, 'alice'))))
    expect(new Set(got)).toEqual(new Set(['access-alice-1']))
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
    expect(rotating.reuses).toBe(0)
  })

  test('F7.05 down, and the server is down for a moment: the session can be refreshed again at once, here and elsewhere', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = () => ({ status: 500, body: '' })
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }, { lock: down }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    await rejection(textOf(one, 'alice'))
    server.answer = rotating.answer
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
  })

  test('F7.05 down for one process, while another one that has it refreshes: no refresh token is spent twice', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      const answer = await rotating.answer(request)
      await answered.opened
      return answer
    }
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, PATIENT) as [Manager]
    const [cutOff] = fleetAt(place, { server, clock }, { lock: down, ...PATIENT }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const first = textOf(one, 'alice')
    await asked
    const second = textOf(cutOff, 'alice')
    // It waits, and goes on with what comes.
    await clock.untilPending()
    answered.open()
    expect(await first).toBe('access-alice-1')
    expect(await whileTimePasses(clock, second)).toBe('access-alice-1')
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
    expect(place.counts.get('before save')).toBe(2)
  })

  test('F7.05 down, and the one that has it begins between the look and the claim: the claim is taken back', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, PATIENT) as [Manager]
    const [cutOff] = fleetAt(place, { server, clock }, { lock: down, ...PATIENT }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const [claiming, begun, goOn] = [createGate(), createGate(), createGate()]
    let isFirst = true
    place.reach = async (step) => {
      if (step === 'before save' && isFirst) {
        isFirst = false
        claiming.open()
        await begun.opened
      }
      if (step === 'after intent') {
        begun.open()
        await goOn.opened
      }
    }
    const second = textOf(cutOff, 'alice')
    await claiming.opened
    const first = textOf(one, 'alice')
    await begun.opened
    await clock.untilPending()
    goOn.open()
    expect(await whileTimePasses(clock, Promise.all([first, second]))).toEqual(['access-alice-1', 'access-alice-1'])
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })

  test('F7.05 down, and the store cannot be asked who is at it: fails closed', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, { lock: down }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = failing('before look')
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ code: 'coordination_unavailable' })
    place.reach = () => {}
    await clock.advance(1000)
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })

  test('F7.05 U6 down for another process, which claims the session meanwhile and reaches no server: the refresh token that has rotated is not lost', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      // A gateway has refused the second one: it never came to the server.
      if (request.n > 1) return { status: 503, body: '' }
      const answer = await rotating.answer(request)
      await answered.opened
      return answer
    }
    const place = sharedPlace(clock)
    // Without a store nobody hears of the refresh that has begun.
    const [one] = fleetAt(place, { server, clock }, { store: undefined }) as [Manager]
    const [cutOff] = fleetAt(place, { server, clock }, { store: undefined, lock: down }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const first = textOf(one, 'alice')
    await asked
    await rejection(textOf(cutOff, 'alice'))
    answered.open()
    expect(await first).toBe('access-alice-1')
    const session = place.sessions.ofSubject({ issuer: server.tokenEndpoint, clientId: 'machine', subject: 'alice' })
    expect((await session.load())?.refreshToken).toBe('refresh-alice-1')
  })

  test('F7.05 U6 down, and a process stands still until its claim is over: the refresh token that has rotated is not lost', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      if (request.n > 1) return { status: 503, body: '' }
      const answer = await rotating.answer(request)
      await answered.opened
      return answer
    }
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }, { lock: down }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const first = textOf(one, 'alice')
    await asked
    // The timers of the first one stand still.
    clock.leap(300_000)
    await rejection(textOf(other, 'alice'))
    answered.open()
    await first
    const session = place.sessions.ofSubject({ issuer: server.tokenEndpoint, clientId: 'machine', subject: 'alice' })
    expect((await session.load())?.refreshToken).toBe('refresh-alice-1')
  })

  test('F7.05 down, and invalid_grant: the session ends with its reason', async ({ server, clock }) => {
    server.answer = () => errorJson(400, 'invalid_grant')
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }, { lock: down }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR)
    for (const manager of [one, other]) {
      expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ reason: 'refresh_token_rejected' })
    }
    expect(server.requests).toHaveLength(1)
  })

  test('F7.05 down, and the process that had claimed the session was killed: the next one goes on when the claim is over', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, { lock: down }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    server.answer = () => hang
    void one
      .forSubject('web', 'alice')
      .source()
      .getToken()
      .catch(() => {})
    await asked
    // The timers of the first one stand still with its clock.
    server.answer = rotating.answer
    const own = createTestClock(clock.now() + 30_000)
    const [late] = fleetAt(place, { server, clock: own }, { lock: down }) as [Manager]
    expect(await textOf(late, 'alice')).toBe('access-alice-1')
  })

  test('F7.05 down, and the session is carried: fails closed, and the session is not lost', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    let isDown = true
    const lock: WithLock = (name, task, options) => (isDown ? down : place.lock)(name, task, options)
    const [one] = fleetAt(place, { server, clock }, { lock }) as [Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    const error = await rejection(one.forSession('web', jar.request()).source().getToken())
    expect(error).toMatchObject({ name: 'StoreError', code: 'coordination_unavailable', retryable: true })
    expect(server.requests).toHaveLength(0)
    isDown = false
    await clock.advance(1000)
    expect((await one.forSession('web', jar.request()).source().getToken()).accessToken).toBe('access-alice-1')
  })

  for (const kind of ['stored', 'carried'] as const) {
    test(`F7.05 taken for too long: a ${kind} session never goes on without`, async ({ server, clock }) => {
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      const place = sharedPlace(clock)
      const [one] = fleetAt(place, { server, clock }) as [Manager]
      const jar = createJar('browser')
      const user = kind === 'stored' ? one.forSubject('web', 'alice') : one.forSession('web', jar.request())
      await user.adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      const asked = createGate()
      const never: WithLock = (_name, _task, options) => {
        asked.open()
        return new Promise((_resolve, reject) =>
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
        )
      }
      const [other] = fleetAt(place, { server, clock }, { lock: never }) as [Manager]
      const same = kind === 'stored' ? other.forSubject('web', 'alice') : other.forSession('web', jar.request())
      if (kind === 'carried') await same.adopt(rotating.login('alice'))
      if (kind === 'carried') await clock.advance(HOUR)
      const refused = rejection(same.source().getToken())
      await asked.opened
      await clock.advance(60_000)
      expect(await refused).toMatchObject({ code: 'coordination_unavailable', retryable: true })
      expect(server.requests).toHaveLength(0)
    })
  }
})

test('F6.02 a store of the application that hangs in one process keeps no other process from the session', async ({
  server,
  clock,
}) => {
  const rotating = createRotatingServer()
  server.answer = rotating.answer
  const records = memoryRecords({ clock })
  let isHanging = false
  // A connection that is half open, and nobody has told the driver how long that may take.
  const hanging: RecordStore = { ...records, get: (key) => (isHanging ? new Promise(() => {}) : records.get(key)) }
  const shared = { clients: { web: clientOf(server) }, lock: localLock(), store: memoryStore({ clock }), clock }
  const [one, other] = [hanging, records].map((each) =>
    createUserTokenManager({ ...shared, subjects: storedSessions(each, { clock }) }),
  ) as [Manager, Manager]
  const alice = one.forSubject('web', 'alice')
  await alice.adopt(rotating.login('alice'))
  await alice.source().getToken()
  isHanging = true
  const stuck = rejection(alice.source().getToken({ forceRenewal: true }))
  expect(await whileTimePasses(clock, stuck, 200)).toMatchObject({ name: 'StoreError', code: 'store_timeout' })
  const asked = other.forSubject('web', 'alice').source().getToken({ forceRenewal: true })
  expect(await whileTimePasses(clock, asked, 200)).toMatchObject({ accessToken: 'access-alice-1' })
})
