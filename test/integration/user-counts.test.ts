import { describe, expect } from 'vitest'
import { createJar } from '../support/carried-jar.ts'
import { rejection, test } from '../support/fixtures.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { settle } from '../support/test-clock.ts'
import {
  createGate,
  fleetAt,
  HOUR,
  type Manager,
  nextPost,
  refreshes,
  sharedPlace,
  textOf,
} from '../support/user-fleet.ts'

describe('what a request of a user costs', () => {
  test('U2 a session that is loaded: 1,000 more calls read nothing, write nothing and send nothing', async ({
    server,
    clock,
  }) => {
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    const source = one.forSubject('web', 'alice').source()
    await source.getToken()
    const before = new Map(place.counts)
    for (let n = 0; n < 500; n++) await source.getToken()
    await Promise.all(Array.from({ length: 500 }, () => source.getToken()))
    expect(new Map(place.counts)).toEqual(before)
    expect(server.requests).toHaveLength(0)
  })

  for (const kind of ['subject', 'session'] as const) {
    test(`U2 100 requests with 20 calls each, by ${kind}: one read each, and not one write`, async ({
      server,
      clock,
    }) => {
      const place = sharedPlace(clock)
      const [one] = fleetAt(place, { server, clock }) as [Manager]
      const session = place.sessions.create()
      const request = () => (kind === 'subject' ? one.forSubject('web', 'alice') : one.forSession('web', session))
      await request().adopt(createRotatingServer().login('alice'))
      const before = new Map(place.counts)
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const user = request()
          await Promise.all(Array.from({ length: 10 }, () => user.source().getToken()))
          await user.read()
          for (let n = 0; n < 9; n++) await user.source().getToken()
        }),
      )
      const reads = (place.counts.get('before load') ?? 0) - (before.get('before load') ?? 0)
      expect(reads).toBe(100)
      for (const [step, count] of place.counts)
        if (!step.endsWith('load')) expect([step, before.get(step)]).toEqual([step, count])
    })
  }

  test('U2 a request that refreshes: two reads, one write, one request', async ({ server, clock }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const before = new Map(place.counts)
    await Promise.all(Array.from({ length: 100 }, () => textOf(one, 'alice')))
    const count = (step: 'before save' | 'before load') => (place.counts.get(step) ?? 0) - (before.get(step) ?? 0)
    expect(count('before save')).toBe(1)
    // One for each of the requests, and one under the lock.
    expect(count('before load')).toBe(101)
    expect(refreshes(server)).toHaveLength(1)
  })

  test('S3 a socket that lives for long reads once a minute', async ({ server, clock }) => {
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(createRotatingServer().login('alice'))
    const source = one.forSubject('web', 'alice').source()
    await source.getToken()
    const before = place.counts.get('before load') ?? 0
    for (let second = 0; second < 600; second += 10) {
      await clock.advance(10_000)
      await source.getToken()
    }
    expect((place.counts.get('before load') ?? 0) - before).toBe(10)
  })

  test('S6 a cookie is written by those requests that heard of a refresh, and by no others', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const [one, other] = fleetAt(sharedPlace(clock), { server, clock }) as [Manager, Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    const reading = jar.request()
    await one.forSession('web', reading).source().getToken()
    expect(reading.saves).toBe(0)
    await clock.advance(HOUR)
    const both = [jar.request(), jar.request()]
    await Promise.all(both.map((request, n) => (n === 0 ? one : other).forSession('web', request).source().getToken()))
    for (const request of both) request.respond()
    for (const request of both) expect(request.saves).toBeGreaterThan(0)
    expect(refreshes(server)).toHaveLength(1)
  })
})

describe('F5.12 S6 two tabs and their parallel requests', () => {
  test('F5.12 S6 A6.07 cookies, 4 processes, 2 tabs with 10 requests each, answers in any order: one refresh an hour, and nobody is lost', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const fleet = fleetAt(sharedPlace(clock), { server, clock })
    const jar = createJar('browser')
    const signIn = jar.request()
    await fleet[0]?.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    for (let hour = 1; hour <= 5; hour++) {
      await clock.advance(HOUR)
      const requests = Array.from({ length: 20 }, (_, n) => ({
        request: jar.request(),
        manager: fleet[n % 4] as Manager,
      }))
      const got = await Promise.all(
        requests.map(({ request, manager }) => manager.forSession('web', request).source().getToken()),
      )
      expect(new Set(got.map(({ accessToken }) => accessToken))).toEqual(new Set([`access-alice-${hour}`]))
      for (const { request } of hour % 2 === 0 ? requests : requests.reverse()) request.respond()
    }
    expect(refreshes(server)).toHaveLength(5)
    expect(rotating.reuses).toBe(0)
  })

  test('F5.12 A6.07 an old answer puts the cookie of before over a newer one: within the grace its refresh token leads to the newer set', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const fleet = fleetAt(sharedPlace(clock), { server, clock })
    const [one, other, third] = fleet as [Manager, Manager, Manager]
    const jar = createJar('browser')
    const signIn = jar.request()
    await one.forSession('web', signIn).adopt(rotating.login('alice'))
    signIn.respond()
    await clock.advance(HOUR)
    const slow = jar.request()
    await one.forSession('web', slow).source().getToken()
    const quick = jar.request()
    const first = await other.forSession('web', quick).source().getToken()
    quick.respond()
    const next = jar.request()
    expect((await other.forSession('web', next).source().getToken({ rejected: first })).accessToken).toBe(
      'access-alice-2',
    )
    next.respond()
    slow.respond()
    await clock.advance(30_000)
    const late = jar.request()
    const token = await third.forSession('web', late).source().getToken({ rejected: first })
    expect(token.accessToken).toBe('access-alice-2')
    late.respond()
    await clock.advance(HOUR)
    expect((await third.forSession('web', jar.request()).source().getToken()).accessToken).toBe('access-alice-3')
    expect(rotating.reuses).toBe(0)
  })
})

describe('F8.02 F5.14 close', () => {
  test('F8.02 500 calls are in flight: they get their tokens, new ones are refused, and close comes back twice', async ({
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
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    const users = Array.from({ length: 50 }, (_, n) => `user${n}`)
    for (const user of users) await one.forSubject('web', user).adopt(rotating.login(user))
    await clock.advance(HOUR)
    const all = new Promise<void>((resolve) => {
      place.reach = (step) => step === 'after intent' && place.counts.get(step) === 50 && resolve()
    })
    const calls = users.flatMap((user) => Array.from({ length: 10 }, () => textOf(one, user)))
    await all
    let isClosed = false
    const closing = Promise.all([one.close(), one.close()]).then(() => {
      isClosed = true
    })
    expect(await rejection(textOf(one, 'user0'))).toMatchObject({ code: 'closed' })
    expect(isClosed).toBe(false)
    answered.open()
    const got = await Promise.all(calls)
    await closing
    expect(new Set(got).size).toBe(50)
    expect(clock.pending).toBe(0)
    for (const user of users) expect(rotating.refreshes.get(user)).toBe(1)
  })

  test('F5.14 a refresh of a session that is not among those remembered any more is waited for', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    const answered = createGate()
    server.answer = async (request) => {
      await answered.opened
      return rotating.answer(request)
    }
    const [one] = fleetAt(sharedPlace(clock), { server, clock }, { maxSessions: 1 }) as [Manager]
    const alice = one.forSubject('web', 'alice')
    await alice.adopt(rotating.login('alice'))
    await one.forSubject('web', 'bob').adopt(rotating.login('bob'))
    await clock.advance(HOUR)
    const asked = nextPost(server)
    const got = alice.source().getToken()
    await asked
    let isClosed = false
    const closing = one.close().then(() => {
      isClosed = true
    })
    for (let turn = 0; turn < 50; turn++) await settle()
    expect(isClosed).toBe(false)
    answered.open()
    expect((await got).accessToken).toBe('access-alice-1')
    await closing
  })

  test('F5.14 a call that still reads its session when close begins: refreshed before close is over, or not at all', async ({
    server,
    clock,
  }) => {
    const rotating = createRotatingServer()
    server.answer = rotating.answer
    const place = sharedPlace(clock)
    const [one] = fleetAt(place, { server, clock }) as [Manager]
    await one.forSubject('web', 'alice').adopt(rotating.login('alice'))
    await clock.advance(HOUR)
    const reads = createGate()
    const slow = createGate()
    place.reach = async (step) => {
      if (step !== 'before load') return
      reads.open()
      await slow.opened
    }
    const got = textOf(one, 'alice').catch((error) => error)
    await reads.opened
    const closing = one.close()
    slow.open()
    await closing
    const sent = server.requests.length
    await got
    expect(server.requests).toHaveLength(sent)
  })
})
