import { createUserTokenManager, storedSessions } from 'evertoken/session'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { clientOf, test } from '../support/fixtures.ts'
import { type HostileServer, startHostileServer } from '../support/hostile-server.ts'
import { type RecordServer, recordsOf, startRecordServer } from '../support/record-server.ts'
import { createRotatingServer } from '../support/rotating-server.ts'
import { type Answered, type Running, startUserProcess } from '../support/user-children.ts'
import { createGate, withMetadata } from '../support/user-fleet.ts'

/** Where a refresh is when another process ends the session; the server's steps are those of the token request. */
const POINTS = [
  'before load',
  'after load',
  'before intent',
  'after intent',
  'when the request has come in',
  'when the server has committed',
  'before save',
  'after save',
  'before successor',
  'after successor',
  'before store-forget',
  'after store-forget',
] as const

const ORDERS = ['the refresh goes on when it is over', 'the refresh goes on while it is under way'] as const

/** Two processes with sessions and store at one place, and the server of their users. */
interface Pair {
  readonly shared: RecordServer
  readonly server: HostileServer
  readonly refreshing: Running
  readonly ending: Running
}

describe('F5.13 N3.05 U9 one process ends the session of a user for whom another process refreshes', () => {
  let pair: Pair
  let users = 0
  beforeAll(async () => {
    const [shared, server] = await Promise.all([startRecordServer(), startHostileServer()])
    const start = (): Promise<Running> => startUserProcess(server.origin, [shared.origin])
    const [refreshing, ending] = await Promise.all([start(), start()])
    pair = { shared, server, refreshing, ending }
  })
  afterAll(async () => {
    for (const { child } of [pair.refreshing, pair.ending]) child.kill('SIGKILL')
    await Promise.all([pair.shared[Symbol.asyncDispose](), pair.server.close()])
  })

  async function asked({ tell, next }: Running, user: string): Promise<Answered | undefined> {
    tell({ users: [user] })
    return (await next()).answered?.[0]
  }

  for (const end of ['signOut', 'revoke'] as const) {
    for (const order of ORDERS) {
      test.for(POINTS)(`F5.13 N3.05 U9 ${end} %s, ${order}: dead in both, and at the server`, async (point) => {
        const { shared, server, refreshing, ending } = pair
        const user = `user${++users}`
        const rotating = createRotatingServer()
        server.answer = withMetadata(server, rotating.answer)
        const tokens = createUserTokenManager({
          subjects: storedSessions(recordsOf(shared)),
          clients: { web: clientOf(server, { issuer: server.origin, tokenEndpoint: undefined }) },
        })
        const signIn = () => tokens.forSubject('web', user).adopt(rotating.login(user))
        await tokens.forSubject('web', user).adopt({ ...rotating.login(user), receivedAt: Date.now() - 3_600_000 })

        const [reached, goesOn] = [createGate(), createGate()]
        let isArmed = true
        // The first one that comes there stops, once.
        const stopAt = (now: string): unknown => {
          if (!isArmed || now !== point) return undefined
          isArmed = false
          reached.open()
          return goesOn.opened
        }
        shared.reach = stopAt
        server.answer = withMetadata(server, async (request) => {
          if (request.url === '/token') await stopAt('when the request has come in')
          const answer = await rotating.answer(request)
          if (request.url === '/token') await stopAt('when the server has committed')
          return answer
        })
        refreshing.tell({ users: [user] })
        await reached.opened
        ending.tell({ users: [user], end })
        const over = ending.next()
        if (order === 'the refresh goes on when it is over') await over
        goesOn.open()
        const [said, refreshed] = await Promise.all([over, refreshing.next()])

        expect(said).toEqual({ ended: end })
        expect(rotating.isAlive(user), JSON.stringify(refreshed)).toBe(false)
        expect(rotating.reuses).toBe(0)
        if (end === 'signOut') {
          for (const process of [refreshing, ending]) {
            expect(await asked(process, user)).toMatchObject({
              error: expect.stringMatching(/^(no_session|signed_out)$/),
            })
          }
        }
        // Whoever signs in again has a session, in both.
        await signIn()
        for (const process of [refreshing, ending]) {
          expect(await asked(process, user)).toMatchObject({ token: `access-${user}-0` })
        }
        await tokens.close()
      })
    }
  }
})
