import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { RecordStore } from 'evertoken'
import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { redisRecords } from 'evertoken/stores/redis'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { clientOf, test } from '../support/fixtures.ts'
import type { Answer, HostileServer } from '../support/hostile-server.ts'
import { type RecordServer, recordsOf, startRecordServer } from '../support/record-server.ts'
import { hasRedis, type RedisServer, startRedis } from '../support/redis.ts'
import { createRotatingServer, type RotatingServer } from '../support/rotating-server.ts'
import { type Answered, type Running, startUserProcess } from '../support/user-children.ts'
import { createGate } from '../support/user-fleet.ts'

let shared: RecordServer
const children: ChildProcess[] = []
beforeEach(async () => {
  shared = await startRecordServer()
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await shared[Symbol.asyncDispose]()
})

async function start({ tokenEndpoint }: HostileServer, args: readonly string[] = [shared.origin]): Promise<Running> {
  const running = await startUserProcess(tokenEndpoint, args)
  children.push(running.child)
  return running
}

/** Users have signed in where the sessions are, an hour ago. */
async function signIn(rotating: RotatingServer, users: readonly string[], { server, records }: Place): Promise<void> {
  const tokens = createUserTokenManager({ subjects: storedSessions(records), clients: { web: clientOf(server) } })
  const receivedAt = Date.now() - 3_600_000
  for (const user of users) await tokens.forSubject('web', user).adopt({ ...rotating.login(user), receivedAt })
}

interface Place {
  readonly server: HostileServer
  readonly records: RecordStore
}

/** One process asks for alice's token: what it says. */
async function askOnce(server: HostileServer, process?: Running): Promise<Answered | undefined> {
  const running = process ?? (await start(server))
  running.tell({ users: ['alice'] })
  const { answered } = await running.next()
  return answered?.[0]
}

describe('F5.04 F5.15 U8 a process that ends in the middle of a refresh', () => {
  /** Where it ends, and whether the server has rotated the token by then and nobody has kept the new one. */
  const POINTS: readonly { readonly point: string; readonly isLost: boolean }[] = [
    { point: 'before intent', isLost: false },
    { point: 'after intent', isLost: false },
    { point: 'when the request has left', isLost: false },
    { point: 'when the server has committed', isLost: true },
    { point: 'in the middle of the answer', isLost: true },
    { point: 'before save', isLost: true },
    { point: 'after save', isLost: false },
    { point: 'before successor', isLost: false },
    { point: 'after successor', isLost: false },
    { point: 'before store-forget', isLost: false },
    { point: 'after store-forget', isLost: false },
  ]

  async function endAt(
    server: HostileServer,
    rotating: RotatingServer,
    { point, end }: { point: string; end: (running: Running) => void },
  ) {
    const running = await start(server)
    const reached = createGate()
    const over = createGate()
    const stop = async (): Promise<void> => {
      reached.open()
      await over.opened
    }
    // A write that was not done when the process ended never is.
    shared.reach = (step) => (step === point ? stop().then(() => false) : undefined)
    server.answer = async (request): Promise<Answer> => {
      if (point === 'when the request has left') await stop()
      if (point === 'when the request has left') return (_response, socket) => void socket.destroy()
      const answer = (await rotating.answer(request)) as { readonly body: string }
      if (point === 'when the server has committed') await stop()
      if (point !== 'in the middle of the answer') return answer
      return async (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.body.length })
        response.write(answer.body.slice(0, 40))
        await stop()
      }
    }
    running.tell({ users: ['alice'] })
    await reached.opened
    const ended = once(running.child, 'exit')
    end(running)
    await ended
    shared.reach = () => {}
    server.answer = rotating.answer
    over.open()
  }

  const ENDS = [
    { name: 'kill -9', end: ({ child }: Running) => void child.kill('SIGKILL') },
    { name: 'an uncaught exception', end: ({ tell }: Running) => tell({ fault: 'elsewhere in the application' }) },
  ]
  for (const { name, end } of ENDS) {
    for (const hasGrace of [false, true]) {
      const points = POINTS.filter(({ point }) => name === 'kill -9' || point === 'when the server has committed')
      test.for(points)(
        `F5.04 F5.15 U8 ${name} $point, a server ${hasGrace ? 'with a grace' : 'that is strict'}: alive, or one sign-in`,
        async ({ point, isLost }, { server }) => {
          const rotating = createRotatingServer({ hasGrace })
          await signIn(rotating, ['alice'], { server, records: recordsOf(shared) })
          await endAt(server, rotating, { point, end })
          const next = await start(server)
          const first = await askOnce(server, next)
          const sent = server.requests.length
          const isAlive = !isLost || hasGrace
          if (isAlive) {
            expect(first).toEqual({ user: 'alice', token: 'access-alice-1' })
          } else {
            expect(first).toMatchObject({ error: 'sign_in_required', reason: 'refresh_token_lost' })
            // The same again, without a request, here and elsewhere, until the user has signed in.
            for (const again of [await askOnce(server, next), await askOnce(server)]) {
              expect(again).toMatchObject({ error: 'sign_in_required', reason: 'refresh_token_lost' })
            }
            expect(server.requests).toHaveLength(sent)
            await signIn(rotating, ['alice'], { server, records: recordsOf(shared) })
          }
          // No older token has come back: the session goes on, in the process that knows it and in one that has just begun.
          expect(await askOnce(server, next)).toMatchObject({ token: 'access-alice-1' })
          expect(await askOnce(server)).toMatchObject({ token: 'access-alice-1' })
          expect(rotating.isAlive('alice')).toBe(true)
        },
      )
    }
  }
})

describe('F5.14 F8.02 SIGTERM', () => {
  test('F5.14 F8.02 while refreshes are under way: new calls are refused, what comes is kept and handed out, and the process ends with 0', async ({
    server,
  }) => {
    const users = Array.from({ length: 50 }, (_, n) => `user${n}`)
    const rotating = createRotatingServer()
    await signIn(rotating, users, { server, records: recordsOf(shared) })
    const running = await start(server)
    const answered = createGate()
    const all = createGate()
    let asked = 0
    server.answer = async (request) => {
      if (++asked === users.length) all.open()
      await answered.opened
      return rotating.answer(request)
    }
    running.tell({ users, calls: 10 })
    await all.opened
    const exited = once(running.child, 'exit')
    running.child.kill('SIGTERM')
    expect(await running.next()).toEqual({ closing: true, error: 'closed' })
    answered.open()
    const said = [await running.next(), await running.next()]
    const got = said.flatMap((each) => each.answered ?? [])
    expect(got).toHaveLength(500)
    for (const { user, token } of got) expect(token).toBe(`access-${user}-1`)
    expect(said).toContainEqual({ closed: true })
    expect(await exited).toEqual([0, null])
    // Nothing was lost.
    const next = await start(server)
    next.tell({ users })
    const { answered: later } = await next.next()
    expect(new Set(later?.map(({ token }) => token))).toEqual(new Set(users.map((user) => `access-${user}-1`)))
    expect(rotating.reuses).toBe(0)
  })
})

describe.skipIf(!hasRedis && process.env.CI === undefined)('F5.02 U5 a fleet', () => {
  const key = randomBytes(32).toString('base64url')
  let redis: RedisServer
  let client: Redis
  beforeEach(async () => {
    redis = await startRedis()
    client = new Redis({ port: redis.port, host: '127.0.0.1' })
  })
  afterEach(async () => {
    client.disconnect()
    await redis.stop()
  })

  const PLACES = [
    { name: 'sessions over HTTP', origin: () => shared.origin, open: () => recordsOf(shared) },
    {
      name: 'sessions on Redis',
      origin: () => 'redis',
      open: () => redisRecords(client, { encryption: { keys: [{ id: 'a', key }] } }),
    },
  ]
  for (const { name, origin, open } of PLACES) {
    test(`F5.02 U5 4 processes, 100 users, 10,000 calls, everything expired, ${name}, lock and store on Redis: one refresh for each user, no reuse, no call that fails`, {
      timeout: 120_000,
    }, async ({ server }) => {
      const users = Array.from({ length: 100 }, (_, n) => `user${n}`)
      const rotating = createRotatingServer()
      server.answer = rotating.answer
      await signIn(rotating, users, { server, records: open() })
      const args = [origin(), String(redis.port), key]
      const fleet = await Promise.all([1, 2, 3, 4].map(() => start(server, args)))
      for (const { tell } of fleet) tell({ users, calls: 25 })
      const said = await Promise.all(fleet.map(({ next }) => next()))
      const answers = said.flatMap(({ answered }) => answered ?? [])
      expect(answers.filter(({ error }) => error !== undefined)).toEqual([])
      expect(answers).toHaveLength(10_000)
      for (const { user, token } of answers) expect(token).toBe(`access-${user}-1`)
      for (const user of users) expect(rotating.refreshes.get(user)).toBe(1)
      expect(server.requests).toHaveLength(100)
      expect(rotating.reuses).toBe(0)
    })
  }

  test('F5.14 F8.02 SIGTERM while it holds locks on Redis: what comes is kept, the locks are given back, and the next process goes on at once', {
    timeout: 60_000,
  }, async ({ server }) => {
    const users = Array.from({ length: 20 }, (_, n) => `user${n}`)
    const rotating = createRotatingServer()
    await signIn(rotating, users, { server, records: recordsOf(shared) })
    const args = [shared.origin, String(redis.port), key]
    const running = await start(server, args)
    const answered = createGate()
    const all = createGate()
    let asked = 0
    server.answer = async (request) => {
      if (++asked === users.length) all.open()
      await answered.opened
      return rotating.answer(request)
    }
    // A lock that was given back has no owner.
    const owners = async () => {
      const keys = await client.keys('evertoken:lock:*')
      return (await Promise.all(keys.map((key) => client.get(key)))).filter((owner) => owner !== '')
    }
    running.tell({ users, calls: 5 })
    await all.opened
    expect(await owners()).toHaveLength(users.length)
    const exited = once(running.child, 'exit')
    running.child.kill('SIGTERM')
    expect(await running.next()).toEqual({ closing: true, error: 'closed' })
    answered.open()
    const said = [await running.next(), await running.next()]
    expect(said).toContainEqual({ closed: true })
    expect(new Set(said.flatMap((each) => each.answered ?? []).map(({ token }) => token))).toEqual(
      new Set(users.map((user) => `access-${user}-1`)),
    )
    expect(await exited).toEqual([0, null])
    // Well before their leases end.
    expect(await owners()).toEqual([])
    const next = await start(server, args)
    next.tell({ users })
    const { answered: later } = await next.next()
    expect(new Set(later?.map(({ token }) => token))).toEqual(new Set(users.map((user) => `access-${user}-1`)))
    expect(server.requests).toHaveLength(users.length)
    expect(rotating.reuses).toBe(0)
  })

  test('F7.01 U8 kill -9 of the process whose turn it is: the others go on when its lease is over, and none of them spends what it has spent', {
    timeout: 60_000,
  }, async ({ server }) => {
    const rotating = createRotatingServer({ hasGrace: true })
    await signIn(rotating, ['alice'], { server, records: recordsOf(shared) })
    const args = [shared.origin, String(redis.port), key]
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => start(server, args)))
    const committed = createGate()
    server.answer = async (request) => {
      const answer = await rotating.answer(request)
      if (request.n > 1) return answer
      committed.open()
      return () => {}
    }
    first?.tell({ users: ['alice'] })
    await committed.opened
    first?.child.kill('SIGKILL')
    for (const { tell } of others) tell({ users: ['alice'], calls: 50 })
    const said = await Promise.all(others.map(({ next }) => next()))
    const answers = said.flatMap(({ answered }) => answered ?? [])
    expect(new Set(answers.map(({ token }) => token))).toEqual(new Set(['access-alice-1']))
    expect(server.requests).toHaveLength(2)
    expect(rotating.reuses).toBe(0)
  })
})
