import {
  type AccessToken,
  clientSecretBasic,
  localLock,
  memoryRecords,
  memoryStore,
  none,
  type TokenRequest,
} from 'evertoken'
import { createUserTokenManager, type SessionTokens, storedSessions, type UserTokens } from 'evertoken/session'
import { createJar } from './carried-jar.ts'
import { seededRandom } from './interleaving.ts'
import { createTestClock } from './test-clock.ts'
import { createUserServer } from './user-server.ts'

/** What an interleaving is made of. */
export interface UserInterleavingOptions {
  readonly seed: number
  /** Lets the server give one user's answer to another now and then, to see whether that is noticed. */
  readonly mixesUp?: boolean
}

/** 50 places where users are signed in, whose calls, reads, writes and answers are put in an order by chance. */
export interface UserInterleaving {
  /**
   * Makes 20 calls for each place, lets everything that they wait for happen in any order, and checks what each caller got.
   *
   * @throws Error that names the seed and the schedule.
   */
  runSchedule(n: number): Promise<void>
  readonly counts: Readonly<
    Record<'calls' | 'tokens' | 'refreshes' | 'faults' | 'aborted' | 'signIns' | 'switches', number>
  >
  /** Refresh tokens that came twice although no answer had got lost. */
  readonly reuses: readonly string[]
}

const PLACES = 50
/** After so many turns of the event loop in which nobody waits nothing is under way. */
const IDLE_TURNS = 20
const CALLS = 20
/** Once in so many schedules the store that processes share answers nothing. */
const STORE_DOWN_EVERY = 10
/** Requests that differ in one thing each. */
const REQUESTS: readonly (TokenRequest | undefined)[] = [
  undefined,
  { resource: 'urn:a' },
  { resource: 'urn:b' },
  { scope: 'a' },
  { scope: 'a b' },
  { parameters: { tenant: '1' } },
]

/** Where a user is signed in. Two users share a browser, and one of them a time is signed in. */
interface Place {
  readonly users: readonly string[]
  current: number
  /** What a request begins with; `respond` ends it. */
  request(): { readonly session: SessionTokens | undefined; respond(): void }
}

/** Opens one. */
export async function openUserInterleaving({
  seed,
  mixesUp = false,
}: UserInterleavingOptions): Promise<UserInterleaving> {
  const clock = createTestClock()
  const counts = { calls: 0, tokens: 0, refreshes: 0, faults: 0, aborted: 0, signIns: 0, switches: 0 }
  const waiting: (() => void)[] = []
  let random = seededRandom(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const held = (): Promise<void> => new Promise((resolve) => void waiting.push(resolve))
  const slow =
    <Args extends readonly unknown[], T>(act: (...args: Args) => T | PromiseLike<T>) =>
    async (...args: Args): Promise<T> => {
      await held()
      const result = await act(...args)
      await held()
      return result
    }

  let isStoreDown = false
  const up =
    <Args extends readonly unknown[], T>(act: (...args: Args) => T) =>
    (...args: Args): T => {
      if (isStoreDown) throw new Error('the store is down')
      return act(...args)
    }

  const server = createUserServer({ random: () => random(), held, counts, mixesUp })
  const records = memoryRecords({ clock })
  const store = memoryStore({ clock })
  const sessions = storedSessions(
    { get: slow(records.get), put: slow(records.put), delete: slow(records.delete) },
    { clock },
  )
  const shared = {
    clock,
    subjects: sessions,
    store: { get: slow(up(store.get)), set: slow(up(store.set)), delete: slow(up(store.delete)) },
    lock: localLock(),
    fetch: server.fetch,
    // Time stands still while anything is under way.
    deadlineMs: 1e9,
    clients: {
      web: { tokenEndpoint: 'https://as.example/token', clientId: 'web', authentication: clientSecretBasic('secret') },
    },
  }
  const processes = [createUserTokenManager(shared), createUserTokenManager(shared)] as const
  await loadAll()

  const places = Array.from({ length: PLACES }, (_, i): Place => {
    const nothing = { session: undefined, respond() {} }
    if (i % 5 < 3) return { users: [`u${i}`], current: 0, request: () => nothing }
    const users = [`u${i}`, `v${i}`]
    const stored = sessions.create()
    if (i % 5 === 3) return { users, current: 0, request: () => ({ session: stored, respond() {} }) }
    const jar = createJar(`browser-${i}`)
    return {
      users,
      current: 0,
      request() {
        const session = jar.request()
        return {
          session,
          respond() {
            const { set } = jar
            session.respond()
            // An old answer that comes late is found out for as long as the grace lasts, which is another test.
            if ((set?.generation ?? 0) > (jar.set?.generation ?? Number.POSITIVE_INFINITY)) jar.set = set
          },
        }
      },
    }
  })

  const userOf = ({ users, current }: Place): string => users[current] ?? ''

  function open(place: Place, session: SessionTokens | undefined): UserTokens {
    const tokens = processes[random() < 0.5 ? 0 : 1]
    return session === undefined ? tokens.forSubject('web', userOf(place)) : tokens.forSession('web', session)
  }

  /** Whoever finds the place empty waits for one sign-in. */
  const signingIn = new Map<Place, Promise<void>>()
  function signInOnce(place: Place): Promise<void> {
    const known = signingIn.get(place) ?? signIn(place).finally(() => void signingIn.delete(place))
    signingIn.set(place, known)
    return known
  }

  async function signIn(place: Place): Promise<void> {
    counts.signIns++
    // No two of them at once: a generation tells which one came last.
    clock.leap(1)
    const { session, respond } = place.request()
    await open(place, session)
      .adopt(server.login(userOf(place), clock.now()))
      .catch((error) => {
        // Somebody else has signed in here within the same millisecond.
        if (error.reason !== 'superseded') throw error
      })
    respond()
  }

  async function leave(place: Place): Promise<void> {
    if (random() < 0.5) {
      const { session, respond } = place.request()
      await open(place, session).signOut()
      respond()
    }
    if (place.users.length > 1) {
      counts.switches++
      place.current = 1 - place.current
    }
    await signIn(place)
  }

  async function call(place: Place, got: AccessToken[]): Promise<void> {
    counts.calls++
    const chance = random()
    if (chance < 0.01) return leave(place)
    const { session, respond } = place.request()
    const user = open(place, session)
    const subject = (await user.read())?.subject
    if (subject === undefined) return signInOnce(place)
    const request = REQUESTS[below(REQUESTS.length)]
    let isOver = false
    // A cookie that nobody waits for any more is lost, and found again for as long as the grace lasts, which is another test.
    const abort = chance < 0.05 && session?.kind !== 'carried' ? new AbortController() : undefined
    const reason = new Error('the caller has gone')
    if (abort !== undefined) void held().then(() => abort.abort(reason))
    try {
      const token = await user.source(request).getToken({
        signal: abort?.signal,
        forceRenewal: chance > 0.97,
        // Also a token of somebody else, which says nothing about one's own.
        rejected: chance > 0.85 && chance < 0.92 ? got[below(got.length)] : undefined,
      })
      const expected = server.nameOf(subject, request)
      const named = token.accessToken.slice(0, token.accessToken.lastIndexOf('.'))
      // The token of the sign-in is the one of a request that asks for nothing.
      if (named !== expected) throw new Error(`${subject} asked for ${expected}, got ${named}`)
      counts.tokens++
      got.push(token)
    } catch (error) {
      if (error === reason) counts.aborted++
      else if (!server.isExpected(error, subject)) throw error
      else if (error.name === 'SessionError') isOver = true
    }
    respond()
    if (isOver) await signInOnce(place)
  }

  async function runSchedule(n: number): Promise<void> {
    random = seededRandom(seed + Math.imul(n, 0x9e3779b1))
    isStoreDown = n % STORE_DOWN_EVERY === STORE_DOWN_EVERY - 1
    const got: AccessToken[] = []
    const faults: Error[] = []
    const calls = new Set<Promise<void>>()
    const begin = (work: Promise<void>): void => {
      const running: Promise<void> = work.then(
        () => void calls.delete(running),
        (error) => {
          calls.delete(running)
          faults.push(error)
        },
      )
      calls.add(running)
    }
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
    async function releaseSome(share: number): Promise<void> {
      for (const release of waiting.splice(0)) {
        if (random() < share) release()
        else waiting.push(release)
      }
      await turn()
    }
    if (n === 0) for (const place of places) begin(signIn(place))
    const left = places.flatMap((place) => Array.from({ length: CALLS }, () => place))
    while (left.length > 0) {
      const [place] = left.splice(below(left.length), 1)
      if (place !== undefined) begin(call(place, got))
      if (random() < 0.05) await releaseSome(0.4)
    }
    let idle = 0
    // Also what goes on behind the callers: time that passed meanwhile would be time that a store did not answer in.
    while (calls.size > 0 || idle <= IDLE_TURNS) {
      await turn()
      idle = waiting.length === 0 ? idle + 1 : 0
      // Nothing is under way, not even the body of an answer: a pause between tries, then.
      if (idle > IDLE_TURNS && calls.size > 0) await clock.advance(50)
      await releaseSome(0.6)
    }
    if (faults[0] !== undefined)
      throw new Error(`seed ${seed}, schedule ${n}: ${faults[0].message}`, { cause: faults[0] })
    await clock.advance(below(3) === 0 ? below(4_000_000) : 1000)
  }

  return {
    runSchedule,
    counts,
    reuses: server.reuses,
  }
}

/** Has the library load what it loads when it is first needed: that takes real time, in which time would pass here while something is under way. */
async function loadAll(): Promise<void> {
  const warm = createUserTokenManager({
    subjects: storedSessions(memoryRecords()),
    clients: { web: { tokenEndpoint: 'https://as.example/token', clientId: 'web', authentication: none() } },
    fetch: async () => Response.json({ access_token: 'access', token_type: 'Bearer' }),
  })
  const user = warm.forSubject('web', 'nobody')
  await user.adopt({ access_token: 'access', refresh_token: 'refresh', subject: 'nobody' })
  await user.source().getToken({ forceRenewal: true })
  await user.signOut()
  await warm.close()
}
