import { ConfigurationError, encryptedRecords, localLock, memoryRecords, StoreError, type WithLock } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { describe, expect } from 'vitest'
import { createJar } from '../support/carried-jar.ts'
import { clientOf, rejection, test } from '../support/fixtures.ts'
import { type Answer, errorJson, type Handler, hang, reset } from '../support/hostile-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { createTestClock, settle, type TestClock } from '../support/test-clock.ts'
import {
  createGate,
  fleetAt,
  HOUR,
  lost,
  type Manager,
  nextPost,
  refreshes,
  type SharedPlace,
  sharedPlace,
  slowToSave,
  textOf,
  whileTimePasses,
} from '../support/user-fleet.ts'

/** Requests that are never too late, for tests in which time passes in steps. */
const PATIENT = { deadlineMs: 1e9 }

const failing = (step: string) => (reached: string) => {
  if (reached === step) throw new Error('READONLY')
}

/** Lets everything work again, and time pass until something is saved. */
async function nextSave(place: SharedPlace, clock: TestClock): Promise<void> {
  const saved = createGate()
  place.reach = (step) => step === 'after save' && saved.open()
  await whileTimePasses(clock, saved.opened, 1000)
}

describe('F5.05 the session store takes no write after a refresh', () => {
  test('F5.05 U6 for a moment: tried again before anything is handed out', async ({ server, clock, recorder }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }, { telemetry: recorder, ...PATIENT }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    let tries = 0
    place.reach = (step) => {
      if (step === 'before save' && ++tries < 3) throw new Error('OOM')
    }
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    expect(tries).toBe(3)
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    const names = recorder.events.map(({ name }) => name)
    expect(names.filter((name) => name.startsWith('session_'))).toEqual([
      'session_write_failed',
      'session_write_failed',
      'session_updated',
    ])
  })

  test('F5.05 for 4 minutes: served, told, found by the other processes all the time, and written in the end', async ({
    server,
    clock,
    recorder,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const fleet = fleetAt(place, { server, clock }, { telemetry: recorder, ...PATIENT })
    const [one] = fleet as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = failing('before save')
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    expect(recorder.events).toContainEqual({ name: 'session_persist_failed', client: 'web' })
    for (let second = 0; second < 240; second += 20) {
      for (let n = 0; n < 20; n++) await clock.advance(1000)
      // Each of them has just begun, and knows nothing but what is shared.
      const fresh = fleetAt(place, { server, clock }, PATIENT)[0] as Manager
      expect(await textOf(fresh, 'alice'), `after ${second} s`).toBe('access-alice-1')
    }
    await nextSave(place, clock)
    await clock.advance(HOUR)
    // The older one has not won.
    const fresh = fleetAt(place, { server, clock }, PATIENT)[0] as Manager
    expect(await textOf(fresh, 'alice')).toBe('access-alice-2')
    expect(refreshes(server)).toEqual(['refresh-alice-0', 'refresh-alice-1'])
    expect(rotating.reuses).toBe(0)
  })

  test('F5.05 for longer than it is tried: told again with the last try, which others find for the grace, and served here all the same', async ({
    server,
    clock,
    recorder,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, { telemetry: recorder, ...PATIENT }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = failing('before save')
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    const since = clock.now()
    const told = () => recorder.events.filter(({ name }) => name === 'session_persist_failed')
    expect(told()).toHaveLength(1)
    const givenUp = createGate()
    const { note } = recorder
    recorder.note = (event) => {
      note(event)
      if (told().length === 2) givenUp.open()
    }
    await whileTimePasses(clock, givenUp.opened, 1000)
    expect(told()[1]).toEqual({ name: 'session_persist_failed', client: 'web' })
    const afterMs = clock.now() - since
    expect(afterMs).toBeGreaterThan(5 * 60_000)
    expect(afterMs).toBeLessThan(15 * 60_000)
    const [fresh] = fleetAt(place, { server, clock }, PATIENT) as [Manager]
    for (const manager of [fresh, one]) expect(await textOf(manager, 'alice')).toBe('access-alice-1')
    // Nothing is tried any more, and nothing told.
    const saves = place.counts.get('before save')
    for (let minute = 0; minute < 30; minute++) await clock.advance(60_000)
    expect(place.counts.get('before save')).toBe(saves)
    expect(clock.pending).toBe(0)
    expect(told()).toHaveLength(2)
    expect(rotating.reuses).toBe(0)
  })

  test('F5.05 refused for good while it is tried again: told again, and not tried any more', async ({
    server,
    clock,
    recorder,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }, { telemetry: recorder, ...PATIENT }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = failing('before save')
    await whileTimePasses(clock, textOf(one, 'alice'))
    place.reach = (step) => {
      if (step === 'before save') throw new ConfigurationError('too long', { code: 'entry_too_long' })
    }
    const told = () => recorder.events.filter(({ name }) => name === 'session_persist_failed')
    for (let second = 0; second < 60; second++) {
      await clock.advance(1000)
      await settle()
    }
    expect(told()).toHaveLength(2)
    expect(clock.pending).toBe(0)
  })

  test('F5.05 U6 nobody gets a new token while its set is being saved', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const source = alice.source()
    await clock.advance(HOUR - 1000)
    await alice.read()
    const [saving, goOn] = [createGate(), createGate()]
    place.reach = (step) => {
      if (step !== 'before save') return undefined
      saving.open()
      return goOn.opened
    }
    const first = textOf(one, 'alice')
    await saving.opened
    // The one that lives is good; one that a killed process takes with it is not.
    expect((await source.getToken()).accessToken).toBe('access-alice-0')
    goOn.open()
    expect(await first).toBe('access-alice-1')
  })

  test('F5.05 with a grace of 5 s, for a minute: the others find what came all the time', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const options = { graceMs: 5000, ...PATIENT }
    const [one] = fleetAt(place, { server, clock }, options) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = failing('before save')
    await whileTimePasses(clock, textOf(one, 'alice'))
    for (let second = 0; second < 60; second += 2) {
      for (let n = 0; n < 2; n++) await clock.advance(1000)
      await settle()
      const fresh = fleetAt(place, { server, clock }, options)[0] as Manager
      expect(await whileTimePasses(clock, textOf(fresh, 'alice')), `after ${second} s`).toBe('access-alice-1')
    }
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
  })

  test('F5.05 F5.07 there is no room for so many access tokens: the refresh token that has rotated is kept, and the token that was asked for', async ({
    server,
    clock,
    recorder,
  }) => {
    const members = ({ n }: { readonly n: number }) => ({ access_token: `access-${n}-${'x'.repeat(1000)}` })
    const rotating = createRotatingServer({ members })
    server.answer = rotating.answer
    const keys = { keys: [{ id: 'one', key: new Uint8Array(32) }] }
    const records = encryptedRecords(memoryRecords({ clock }), keys, { clock, maxLength: 8000 })
    const subjects = storedSessions(records, { clock })
    // Without a store, so that the session is all that the other process finds.
    const shared = { subjects, clock, clients: { web: clientOf(server) } }
    const [one, other] = [0, 1].map(() => createUserTokenManager({ ...shared, telemetry: recorder }))
    await one?.forSubject('web', 'alice').adopt(rotating.login('alice'))
    const call = async (manager: typeof one, n: number) => {
      const source = manager?.forSubject('web', 'alice').source({ resource: `urn:tenant:${n}` })
      return (await source?.getToken())?.accessToken
    }
    for (let n = 1; n <= 10; n++) await call(one, n)
    expect(await call(other, 10)).toMatch(/^access-10-/)
    expect(await call(other, 11)).toMatch(/^access-11-/)
    expect(rotating.reuses).toBe(0)
    expect(recorder.events.map(({ name }) => name)).not.toContain('session_persist_failed')
  })

  test.for([
    { failures: 1, told: [] },
    { failures: 7, told: ['session_persist_failed'] },
  ])(
    'F5.05 S6 carried, and the successor is not written at the first $failures tries: no other request spends the token again',
    async ({ failures, told }, { server, clock, recorder }) => {
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      const place = sharedPlace(clock)
      const options = { telemetry: recorder, ...PATIENT }
      const [one, other] = fleetAt(place, { server, clock }, options) as [Manager, Manager]
      const jar = createJar('browser')
      const signIn = jar.request()
      await one.forSession('web', signIn).adopt(rotating.login('alice'))
      signIn.respond()
      await clock.advance(HOUR)
      const [slow, tab] = [jar.request(), jar.request()]
      let left = failures
      const written = createGate()
      place.reach = (step) => {
        if (step === 'before successor' && left-- > 0) throw new Error('READONLY')
        if (step === 'after successor') written.open()
      }
      const call = async (manager: Manager, session: typeof tab) =>
        (await whileTimePasses(clock, manager.forSession('web', session).source().getToken())).accessToken
      expect(await call(one, slow)).toBe('access-alice-1')
      const events = recorder.events.map(({ name }) => name)
      expect(events.filter((name) => name === 'session_persist_failed')).toEqual(told)
      // If not before its caller is answered, then behind it.
      await whileTimePasses(clock, written.opened, 1000)
      expect(await call(other, tab)).toBe('access-alice-1')
      expect(rotating.reuses).toBe(0)
    },
  )

  test('F5.05 F7.05 nothing takes a write, neither sessions nor store nor lock: nobody else spends the token that was spent', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    let isReadOnly = false
    const lock: WithLock = (name, task, options) => {
      if (isReadOnly) throw new StoreError('expected a lock, got READONLY', { code: 'lock_unavailable' })
      return place.lock(name, task, options)
    }
    const [one, other] = fleetAt(place, { server, clock }, { lock, ...PATIENT }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    place.reach = (step) => {
      if (step === 'turn') isReadOnly = true
      if (isReadOnly && /^before (save|intent|successor)/.test(step)) throw new Error('READONLY')
    }
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    const refused = await rejection(whileTimePasses(clock, textOf(other, 'alice')))
    expect(refused).toMatchObject({ name: 'StoreError', code: 'coordination_unavailable', retryable: true })
    isReadOnly = false
    await nextSave(place, clock)
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    expect(rotating.reuses).toBe(0)
  })
})

describe('F5.05 a session that never answers', () => {
  test.for(['load', 'save', 'clear'] as const)(
    'F5.05 F8.02 one %s: whoever waits is told, later calls are not stuck, and close ends',
    async (call, { server, clock }) => {
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      const place = sharedPlace(clock)
      let hangs = false
      const answer = <T>(name: string, work: () => T): T | Promise<never> => {
        if (!hangs || name !== call) return work()
        hangs = false
        return new Promise<never>(() => {})
      }
      const subjects: typeof place.sessions = {
        ...place.sessions,
        ofSubject(subject) {
          const session = place.sessions.ofSubject(subject)
          return {
            id: session.id,
            load: () => answer('load', () => session.load()),
            save: (set) => answer('save', () => session.save(set)),
            clear: () => answer('clear', () => session.clear()),
          }
        },
      }
      const [one] = fleetAt(place, { server, clock }, { subjects, ...PATIENT }) as [Manager]
      const alice = one.forSubject('web', 'alice')
      await alice.adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      hangs = true
      const use: Promise<unknown> = call === 'clear' ? alice.signOut() : textOf(one, 'alice')
      const outcome = await whileTimePasses(clock, use).catch((error) => error.code)
      // What a refresh has brought is saved once more.
      expect(outcome).toBe(call === 'save' ? 'access-alice-1' : 'store_timeout')
      hangs = false
      if (call !== 'clear') expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
      await one.close()
    },
  )
})

describe('F5.06 U8 an answer that got lost', () => {
  const LOSSES: readonly { readonly name: string; readonly answer: (inner: Handler) => Handler }[] = [
    { name: 'a cut connection', answer: lost },
    {
      name: '502 of a proxy',
      answer: (inner) => async (request) => {
        await inner(request)
        return { status: 502, headers: { 'content-type': 'text/html' }, body: '<html>' }
      },
    },
    {
      name: '504 of a proxy',
      answer: (inner) => async (request) => {
        await inner(request)
        return { status: 504, body: '' }
      },
    },
    {
      name: 'a body that is cut',
      answer: (inner) => async (request) => {
        const answer = (await inner(request)) as { readonly body: string }
        return { ...answer, body: answer.body.slice(0, -20) }
      },
    },
  ]
  for (const { name, answer } of LOSSES) {
    test(`F5.06 U8 ${name}, and the server has a grace: asked once more at once, the session goes on`, async ({
      server,
      clock,
    }) => {
      const rotating = createRotatingServer({ hasGrace: true })
      const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      let count = 0
      server.answer = (request) => (++count === 1 ? answer(rotating.answer)(request) : rotating.answer(request))
      expect(await textOf(one, 'alice')).toBe('access-alice-1')
      expect(await textOf(other, 'alice')).toBe('access-alice-1')
      expect(refreshes(server)).toEqual(['refresh-alice-0', 'refresh-alice-0'])
    })

    test(`F5.06 U8 ${name}, and the server is strict: the user signs in again, once, and nothing is sent any more`, async ({
      server,
      clock,
    }) => {
      const rotating = createRotatingServer()
      const fleet = fleetAt(sharedPlace(clock), { server, clock })
      const [one] = fleet as [Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      let count = 0
      server.answer = (request) => (++count === 1 ? answer(rotating.answer)(request) : rotating.answer(request))
      for (const manager of [...fleet, ...fleet]) {
        expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ reason: 'refresh_token_lost' })
        await clock.advance(10_000)
      }
      expect(server.requests).toHaveLength(2)
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      for (const manager of fleet) expect(await textOf(manager, 'alice')).toBe('access-alice-0')
    })
  }

  test('F5.06 S6 carried, and lost twice: another process does not wait, and gets what a server with a grace gives', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    server.answer = (request) => (request.n <= 2 ? lost(rotating.answer)(request) : rotating.answer(request))
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    const [first, second] = [jar.request(), jar.request()]
    expect(await rejection(one.forSession('web', first).source().getToken())).toMatchObject({ ambiguous: true })
    expect((await other.forSession('web', second).source().getToken()).accessToken).toBe('access-alice-1')
  })

  test('F5.06 with replay off: one request, an error that says it may have got there, and the next call asks', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    const [one] = fleetAt(sharedPlace(clock), { server, clock }, { replay: false }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    server.answer = lost(rotating.answer)
    expect(await rejection(textOf(one, 'alice'))).toMatchObject({ name: 'TransportError', ambiguous: true })
    expect(refreshes(server)).toEqual(['refresh-alice-0'])
    server.answer = rotating.answer
    await clock.advance(10_000)
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
  })

  test('F5.06 no answer in time: asked once more at once, and the late answer changes nothing', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    const [one] = fleetAt(sharedPlace(clock), { server, clock }, { deadlineMs: 5000 }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    let count = 0
    server.answer = async (request) => {
      const answer = await rotating.answer(request)
      return ++count === 1 ? hang : answer
    }
    const asked = nextPost(server)
    const got = textOf(one, 'alice')
    await asked
    await clock.advance(5000)
    expect(await got).toBe('access-alice-1')
    expect(server.requests).toHaveLength(2)
  })

  test('F5.06 lost twice: the error goes to the callers, the tokens stay, and a later try brings the session back', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    server.answer = lost(rotating.answer)
    const failed = await Promise.all(Array.from({ length: 50 }, () => rejection(textOf(one, 'alice'))))
    expect(new Set(failed.map(({ name }) => name))).toEqual(new Set(['TransportError']))
    expect(server.requests).toHaveLength(2)
    server.answer = rotating.answer
    await clock.advance(1000)
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
  })
})

describe('U6 writers that are slow', () => {
  test('F5.10 F7.02 U6 a write that comes after two refreshes of others changes nothing', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one, other] = fleetAt(place, { server, clock }, PATIENT) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const late = createGate()
    let saves = 0
    place.reach = (step) => (step === 'before save' && ++saves === 1 ? late.opened : undefined)
    expect(await whileTimePasses(clock, textOf(one, 'alice'))).toBe('access-alice-1')
    for (const n of [2, 3]) {
      await clock.advance(HOUR)
      expect(await textOf(other, 'alice')).toBe(`access-alice-${n}`)
    }
    late.open()
    await settle()
    const fresh = fleetAt(place, { server, clock })[0] as Manager
    expect(await textOf(fresh, 'alice')).toBe('access-alice-3')
    await clock.advance(HOUR)
    expect(await textOf(fresh, 'alice')).toBe('access-alice-4')
    expect(rotating.reuses).toBe(0)
  })

  test('F5.10 F7.02 U6 a process that stood still between answer and write comes back late: it gets what is newer, and writes nothing', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const thaw = createGate()
    const stops = createGate()
    // Its turn is lost to the others while it stands still, and so does its clock.
    const own = createTestClock(clock.now() + HOUR)
    const slow = slowToSave(place, () => {
      stops.open()
      return thaw.opened
    })
    const [one] = fleetAt({ ...slow, lock: localLock() }, { server, clock: own }, PATIENT) as [Manager]
    const [other] = fleetAt(place, { server, clock }, PATIENT) as [Manager]
    await other.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const got = textOf(one, 'alice')
    await stops.opened
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    await clock.advance(HOUR)
    expect(await textOf(other, 'alice')).toBe('access-alice-2')
    own.leap(HOUR)
    thaw.open()
    expect(await got).toBe('access-alice-2')
    const fresh = fleetAt(place, { server, clock })[0] as Manager
    expect(await textOf(fresh, 'alice')).toBe('access-alice-2')
    expect(rotating.reuses).toBe(0)
  })
})

describe('U7 what ends no session', () => {
  const FAILURES: readonly { readonly name: string; readonly answer: Answer }[] = [
    { name: '500', answer: { status: 500, body: '' } },
    { name: '503 with Retry-After', answer: { status: 503, headers: { 'retry-after': '1' }, body: '' } },
    { name: '429', answer: { status: 429, body: '' } },
    { name: '502 with HTML', answer: { status: 502, headers: { 'content-type': 'text/html' }, body: '<html>' } },
    { name: '200 with HTML', answer: { headers: { 'content-type': 'text/html' }, body: '<html>' } },
    { name: '404', answer: { status: 404, body: '' } },
    { name: '400 with HTML', answer: { status: 400, headers: { 'content-type': 'text/html' }, body: 'invalid_grant' } },
    { name: 'a redirect', answer: { status: 302, headers: { location: '/elsewhere' } } },
    { name: 'a cut connection', answer: reset },
    ...['invalid_client', 'unauthorized_client', 'invalid_scope', 'unsupported_grant_type', 'server_error'].map(
      (error) => ({ name: error, answer: errorJson(400, error) }),
    ),
    { name: 'INVALID_GRANT in capitals', answer: errorJson(400, 'INVALID_GRANT') },
    { name: 'invalid_request', answer: errorJson(400, 'invalid_request') },
  ]
  for (const { name, answer } of FAILURES) {
    test(`U7 ${name}: what is kept is byte for byte what it was, and the next refresh works`, async ({
      server,
      clock,
      recorder,
    }) => {
      const rotating = createRotatingServer()
      const place = sharedPlace(clock)
      const [one] = fleetAt(place, { server, clock }, { telemetry: recorder }) as [Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      server.answer = () => answer
      const saves = place.counts.get('before save')
      await rejection(textOf(one, 'alice'))
      expect(place.counts.get('before save')).toBe(saves)
      expect(recorder.events.map((event) => event.name)).not.toContain('session_ended')
      await clock.advance(60_000)
      server.answer = rotating.answer
      expect(await textOf(one, 'alice')).toBe('access-alice-1')
    })
  }

  test('U7 invalid_request: the user is told to sign in, and nothing is deleted', async ({ server, clock }) => {
    server.answer = () => errorJson(400, 'invalid_request')
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR)
    const error = await rejection(textOf(one, 'alice'))
    expect(error).toMatchObject({ name: 'SessionError', code: 'sign_in_required', reason: 'refresh_doubtful' })
    expect(await one.forSubject('web', 'alice').read()).toMatchObject({ subject: 'alice', endedBecause: undefined })
  })

  test('U7 invalid_grant, and another process has written a newer set: that one is used', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    const place = sharedPlace(clock)
    // Locks of their own and no store between them, as where the one has lost its turn.
    const [one] = fleetAt(place, { server, clock }, { lock: localLock(), store: undefined }) as [Manager]
    const [other] = fleetAt(place, { server, clock }, { lock: localLock(), store: undefined }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    server.answer = async (request) => {
      if (request.n > 1) return rotating.answer(request)
      server.answer = rotating.answer
      await textOf(other, 'alice')
      return errorJson(400, 'invalid_grant')
    }
    expect(await textOf(one, 'alice')).toBe('access-alice-1')
    expect(refreshes(server)).toEqual(['refresh-alice-0', 'refresh-alice-0'])
  })

  test('U7 invalid_grant, and another process writes a newer set before the end is written: that one is used', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = (request) => (request.n === 1 ? errorJson(400, 'invalid_grant') : rotating.answer(request))
    const place = sharedPlace(clock)
    // Both have it, as after a failover.
    const lock: WithLock = (_name, task) => task({})
    const [one, other] = fleetAt(place, { server, clock }, { lock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const [ending, goOn] = [createGate(), createGate()]
    let saves = 0
    place.reach = (step) => {
      if (step !== 'before save' || saves++ > 0) return undefined
      ending.open()
      return goOn.opened
    }
    const source = one.forSubject('web', 'alice').source()
    const first = source.getToken()
    await ending.opened
    expect(await textOf(other, 'alice')).toBe('access-alice-1')
    goOn.open()
    expect((await first).accessToken).toBe('access-alice-1')
    expect((await source.getToken()).accessToken).toBe('access-alice-1')
  })

  test('U7 S6 carried, and invalid_grant because another process was quicker: its successor is used, and not written over', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const [oneAnswered, otherAnswered] = [createGate(), createGate()]
    server.answer = async (request) => {
      if (request.n === 2) {
        await otherAnswered.opened
        return errorJson(400, 'invalid_grant')
      }
      const answer = await rotating.answer(request)
      await oneAnswered.opened
      return answer
    }
    // Both have it, as after a failover.
    const lock: WithLock = (_name, task) => task({})
    const fleet = fleetAt(sharedPlace(clock), { server, clock }, { lock })
    const [one, other, third] = fleet as [Manager, Manager, Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    const [slow, fast, tab] = [jar.request(), jar.request(), jar.request()]
    const asked = nextPost(server)
    const first = one.forSession('web', fast).source().getToken()
    await asked
    // So long that nobody thinks any more that the first one is at it.
    clock.leap(30_000)
    const askedAgain = nextPost(server)
    const second = other.forSession('web', slow).source().getToken()
    await askedAgain
    oneAnswered.open()
    expect((await first).accessToken).toBe('access-alice-1')
    otherAnswered.open()
    expect((await second).accessToken).toBe('access-alice-1')
    expect((await third.forSession('web', tab).source().getToken()).accessToken).toBe('access-alice-1')
  })

  test('U7 two processes have got a set each of one refresh token: the one that was kept counts for both', async ({
    server,
    clock,
  }) => {
    // A server that gives each of two requests at once a token of its own, and takes the last of them only.
    const both = createGate()
    server.answer = async ({ form, n }) => {
      if (n === 2) both.open()
      if (n <= 2) await both.opened
      else if (form.get('refresh_token') !== 'refresh-alice-2') return errorJson(400, 'invalid_grant')
      const members = { access_token: `access-alice-${n}`, refresh_token: `refresh-alice-${n}` }
      return { body: JSON.stringify({ ...members, token_type: 'Bearer', expires_in: 3600 }) }
    }
    const place = sharedPlace(clock)
    const kept = createGate()
    const slow = slowToSave(place, () => kept.opened)
    const alone = () => ({ lock: localLock(), store: undefined, ...PATIENT })
    const [one] = fleetAt(slow, { server, clock }, alone()) as [Manager]
    const [other] = fleetAt(place, { server, clock }, alone()) as [Manager]
    await other.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR)
    const first = nextPost(server)
    const late = textOf(one, 'alice')
    await first
    expect(await textOf(other, 'alice')).toBe('access-alice-2')
    kept.open()
    expect(await late).toBe('access-alice-2')
    await clock.advance(HOUR)
    expect(await textOf(one, 'alice')).toBe('access-alice-3')
  })

  test('F5.06 F7.05 the server hangs while a token lives: one caller waits, the others do not, also in the minute after', async ({
    server,
    clock,
  }) => {
    server.answer = () => hang
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    await clock.advance(HOUR - 60_000)
    const asked = nextPost(server)
    const waits = textOf(one, 'alice')
    await asked
    const again = nextPost(server)
    await clock.advance(10_000)
    await again
    await clock.advance(10_000)
    expect(await waits).toBe('access-alice-0')
    // At once: it is not worth a try yet.
    expect(await textOf(one, 'alice')).toBe('access-alice-0')
    expect(server.requests).toHaveLength(2)
  })
})

test('F7.05 M14 the server hangs, and 5 resources are wanted at once: everybody is freed after one refresh and its replay', async ({
  server,
  clock,
}) => {
  server.answer = () => hang
  const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
  const alice = one.forSubject('web', 'alice')
  await alice.adopt(createRotatingServer().login('alice'))
  await clock.advance(HOUR)
  const beganAt = clock.now()
  const waits = ['urn:a', 'urn:b', 'urn:c', 'urn:d', 'urn:e'].map((resource) =>
    rejection(alice.source({ resource }).getToken()),
  )
  const errors = await whileTimePasses(clock, Promise.all(waits), 1000)
  expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['timeout']))
  expect(clock.now() - beganAt).toBeLessThanOrEqual(25_000)
  expect(server.requests).toHaveLength(2)
})

test.for([3, 4, 5])(
  'F7.05 S6 carried, and of all that is looked for the %ith cannot be asked: nothing is spent, and the session goes on',
  async (nth, { server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    let looks = 0
    place.reach = (step) => {
      if (step === 'before look' && ++looks === nth) throw new Error('LOADING')
    }
    const call = () => one.forSession('web', jar.request()).source().getToken()
    expect(await rejection(call())).toMatchObject({ name: 'StoreError', code: 'coordination_unavailable' })
    expect(refreshes(server)).toEqual([])
    expect((await call()).accessToken).toBe('access-alice-1')
  },
)

describe('failures that are about one request', () => {
  test.for([
    { name: 'a resource that the server does not know', error: 'invalid_target' },
    { name: 'a scope that the user has not granted', error: 'invalid_scope' },
  ])('A1.02 U4 $name: the other requests of the user do not hear of it', async ({ error }, { server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = (request) =>
      request.form.get('resource') === 'urn:bad' ? errorJson(400, error) : rotating.answer(request)
    const [one] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    const bad = alice.source({ resource: 'urn:bad' })
    expect(await rejection(bad.getToken())).toMatchObject({ error })
    expect((await alice.source({ resource: 'urn:good' }).getToken()).accessToken).toBe('access-alice-1-urn:good')
    expect(await rejection(bad.getToken())).toMatchObject({ error })
    // Remembered for who asked for it.
    expect(server.requests).toHaveLength(2)
  })

  test('U4 less scope than was asked for: told whenever it is asked for, after the new refresh token is safe', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer({ members: () => ({ scope: 'a' }) })
    server.answer = rotating.answer
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    for (let n = 0; n < 3; n++) {
      const error = await rejection(one.forSubject('web', 'alice').source({ scope: 'a b' }).getToken())
      expect(error).toMatchObject({ code: 'insufficient_granted_scope', missingScope: 'b' })
    }
    const token = await one.forSubject('web', 'alice').source({ scope: 'a' }).getToken()
    expect(token).toMatchObject({ scope: 'a', accessToken: 'access-alice-2' })
    await clock.advance(HOUR)
    expect(await textOf(other, 'alice')).toBe('access-alice-3')
    expect(rotating.reuses).toBe(0)
  })

  test('U4 less scope than was asked for, and the client takes that', async ({ server, clock }) => {
    const rotating = createRotatingServer({ members: () => ({ scope: 'a' }) })
    server.answer = rotating.answer
    const { sessions: subjects } = sharedPlace(clock)
    const clients = { web: clientOf(server, { acceptNarrowedScope: true }) }
    const tokens = createUserTokenManager({ clock, subjects, clients })
    const alice = tokens.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    for (let n = 0; n < 2; n++) {
      expect(await alice.source({ scope: 'a b' }).getToken()).toMatchObject({ scope: 'a' })
    }
    expect(server.requests).toHaveLength(1)
  })

  test.for([
    {
      name: 'fails',
      transform: () => {
        throw new Error('the application has a bug')
      },
    },
    { name: 'never ends', transform: () => new Promise<never>(() => {}) },
  ])(
    'U11 U6 a transform of claims that $name costs no refresh token: claims stay, and the next refresh works',
    async ({ transform }, { server, clock }) => {
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      let isBroken = false
      const options = { ...PATIENT, transformClaims: () => (isBroken ? transform() : { tenant: '1' }) }
      const [one, other] = fleetAt(sharedPlace(clock), { server, clock }, options) as [Manager, Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      isBroken = true
      for (const [n, manager] of [one, other].entries()) {
        await clock.advance(HOUR)
        expect(await whileTimePasses(clock, textOf(manager, 'alice'))).toBe(`access-alice-${n + 1}`)
        expect((await manager.forSubject('web', 'alice').read())?.claims).toEqual({ tenant: '1' })
      }
    },
  )
})

describe('N23 a refresh token that expires', () => {
  const MEMBERS = [
    'refresh_token_timeout',
    'refresh_token_expires_in',
    'refresh_expires_in',
    'authorization_expires_in',
  ]
  test.for(MEMBERS)(
    'N23.01 %s: no refresh is tried after it, and the reason is told',
    async (name, { server, clock }) => {
      const rotating = createRotatingServer({ members: () => ({ [name]: 2 * 3600 }) })
      server.answer = rotating.answer
      const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      await textOf(one, 'alice')
      await clock.advance(2 * HOUR - 1)
      expect(await textOf(other, 'alice')).toBe('access-alice-2')
      await clock.advance(2 * HOUR)
      for (const manager of [one, other, one]) {
        expect(await rejection(textOf(manager, 'alice'))).toMatchObject({ reason: 'refresh_token_expired' })
      }
      expect(server.requests).toHaveLength(2)
    },
  )

  test.for([3_153_600_000, 99_999_999_999])(
    'N23.01 %d seconds mean what they say',
    async (seconds, { server, clock }) => {
      const rotating = createRotatingServer({ members: () => ({ refresh_token_timeout: seconds }) })
      server.answer = rotating.answer
      const place = sharedPlace(clock)
      const [one] = fleetAt(place, { server, clock }) as [Manager]
      await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
      await clock.advance(HOUR)
      await textOf(one, 'alice')
      const set = await place.sessions
        .ofSubject({ issuer: server.tokenEndpoint, clientId: 'machine', subject: 'alice' })
        .load()
      expect(set?.refreshTokenExpiresAt).toBe(clock.now() + seconds * 1000)
    },
  )
})
