import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import type { Answer, Handler, HostileServer } from '../support/hostile-server.ts'
import { seededRandom } from '../support/interleaving.ts'
import { createRotatingServer, type RotatingServer } from '../support/rotating-server.ts'
import type { TestClock } from '../support/test-clock.ts'
import { fleetAt, HOUR, type Manager, sharedPlace } from '../support/user-fleet.ts'

const USERS = Array.from({ length: 50 }, (_, n) => `user${n}`)
const CALLS = 20
const ROUNDS = 5
const CALLER = 'x-caller'
/** Another run of chance: `ISOLATION_SEED=7 npx vitest run test/integration/user-live.test.ts`. */
const seed = Number(process.env.ISOLATION_SEED ?? 20_260_101)

interface Servers {
  readonly server: HostileServer
  readonly elsewhere: HostileServer
  readonly clock: TestClock
}

/** What came of all calls. */
interface Live {
  readonly counts: Record<'answered' | 'refused' | 'aborted' | 'challenged', number>
  /** Whom the API took a caller for, where that was somebody else. */
  readonly mismatches: readonly string[]
  readonly rotating: RotatingServer
}

/** An API that tells whose token it got and who called, which now and then refuses a token, and takes its time like everybody here. */
function echo({ random, live }: { readonly random: () => number; readonly live: Live }, slow: Slow): Handler {
  return slow(({ headers }): Answer => {
    const [, subject] = /^Bearer access-(.+)-\d+$/.exec(headers.authorization ?? '') ?? []
    const body = JSON.stringify({ subject, caller: headers[CALLER] })
    if (random() >= 0.03) return { body }
    live.counts.challenged++
    return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' }, body }
  })
}

/** Lets so many turns of the event loop pass as chance will have it, in which others come first. */
type Slow = (handler: Handler) => Handler

/** 50 users of a fleet call the API over HTTP, 20 calls each at the same time, in several rounds before which all tokens expire. */
async function runLive(
  { server, elsewhere, clock }: Servers,
  { rounds = ROUNDS, mixesUp = false } = {},
): Promise<Live> {
  const random = seededRandom(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const turns = async (most: number): Promise<void> => {
    for (let left = below(most); left > 0; left--) await new Promise((resolve) => setImmediate(resolve))
  }
  const slow: Slow = (handler) => async (request) => {
    await turns(100)
    return handler(request)
  }
  const members = () => (mixesUp && random() < 0.3 ? { access_token: 'access-somebody-0' } : {})
  const rotating = createRotatingServer({ members })
  const mismatches: string[] = []
  const live = { counts: { answered: 0, refused: 0, aborted: 0, challenged: 0 }, mismatches, rotating }
  server.answer = slow(rotating.answer)
  elsewhere.answer = echo({ random, live }, slow)

  const managers = fleetAt(sharedPlace(clock), { server, clock })
  const destination = { baseUrl: `${elsewhere.origin}/` }
  async function call(user: string): Promise<void> {
    const manager = managers[below(managers.length)] as Manager
    const caller = new AbortController()
    const { signal } = caller
    const reason = new Error(`${user} has gone`)
    if (random() < 0.05) turns(100).then(() => caller.abort(reason))
    await turns(50)
    try {
      const send = manager.forSubject('web', user).fetch(destination)
      const response = await send('whoami', { headers: { [CALLER]: user }, signal })
      const got = (await response.json()) as { readonly subject?: string; readonly caller?: string }
      if (got.subject !== user || got.caller !== user) mismatches.push(`${user} was ${got.subject} to ${got.caller}`)
      live.counts[response.ok ? 'answered' : 'refused']++
    } catch (error) {
      if (error !== reason) throw error
      live.counts.aborted++
    }
  }

  for (const user of USERS) await managers[0]?.forSubject('web', user).adopt(rotating.login(user))
  for (let round = 0; round < rounds; round++) {
    await clock.advance(HOUR)
    await Promise.all(Array.from({ length: CALLS }, () => USERS.map(call)).flat())
  }
  await Promise.all(managers.map((manager) => manager.close()))
  // What was sent in the name of a caller who has gone counts as well.
  for (const { headers } of elsewhere.requests) {
    const caller = headers[CALLER]
    if (!headers.authorization?.startsWith(`Bearer access-${caller}-`)) mismatches.push(`somebody else for ${caller}`)
  }
  return live
}

describe('A1.01 live users', () => {
  test('A1.01 U13 50 users, 20 calls each at the same time, 5 rounds, 4 processes, over HTTP, with slow answers, refused tokens and callers who leave: 0 mismatches', async ({
    server,
    elsewhere,
    clock,
  }) => {
    const { counts, mismatches, rotating } = await runLive({ server, elsewhere, clock })
    expect(mismatches).toEqual([])
    expect(rotating.reuses).toBe(0)
    // What was checked was worth checking.
    const { answered, refused, aborted, challenged } = counts
    expect(answered + refused + aborted).toBe(USERS.length * CALLS * ROUNDS)
    expect(answered).toBeGreaterThan(0.9 * USERS.length * CALLS * ROUNDS)
    expect(Math.min(aborted, challenged)).toBeGreaterThan(50)
    for (const user of USERS) expect(rotating.refreshes.get(user)).toBeGreaterThanOrEqual(ROUNDS)
  })

  test('A1.01 a server that mixes users up is noticed', async ({ server, elsewhere, clock }) => {
    const { mismatches } = await runLive({ server, elsewhere, clock }, { rounds: 1, mixesUp: true })
    expect(mismatches.length).toBeGreaterThan(0)
    expect(new Set(mismatches.map((text) => text.includes('somebody')))).toEqual(new Set([true]))
  })
})
