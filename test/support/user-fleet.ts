import { localLock, memoryRecords, memoryStore, type RecordStore, type TokenStore, type WithLock } from 'evertoken'
import {
  createUserTokenManager,
  type StoredSessions,
  storedSessions,
  type UserTokenManager,
  type UserTokenManagerOptions,
} from 'evertoken/session'
import { clientOf } from './fixtures.ts'
import type { Answer, Handler, HostileServer } from './hostile-server.ts'
import { settle, type TestClock } from './test-clock.ts'

export const HOUR = 3_600_000
/** More than one write or one look goes through in the pool of threads. */
const HOPS = 8

/** Something that a refresh does outside of its process, before it is done and after. */
export type Step =
  | `${'before' | 'after'} ${'load' | 'save' | 'intent' | 'successor' | 'end mark' | 'look' | 'forget'}`
  | 'turn'

/** What processes share: each step is told, and waits for what the listener returns. */
export interface SharedPlace {
  readonly records: RecordStore
  readonly store: TokenStore
  readonly lock: WithLock
  readonly sessions: StoredSessions
  /** Told of each step; may wait, and may throw. */
  reach: (step: Step) => unknown
  /** How often each step was reached. */
  readonly counts: ReadonlyMap<Step, number>
}

/** A place of this test alone. */
export function sharedPlace(clock: TestClock): SharedPlace {
  const records = memoryRecords({ clock })
  const store = memoryStore({ clock })
  const lock = localLock()
  const counts = new Map<Step, number>()
  const reach = async (step: Step): Promise<void> => {
    counts.set(step, (counts.get(step) ?? 0) + 1)
    await place.reach(step)
  }
  type Name = 'load' | 'save' | 'look' | 'forget' | ReturnType<typeof kindOf>
  async function around<T>(name: Name, work: () => T | PromiseLike<T>): Promise<T> {
    await reach(`before ${name}`)
    const result = await work()
    await reach(`after ${name}`)
    return result
  }
  const watched: RecordStore = {
    get: (key) => around('load', () => records.get(key)),
    put: (key, value, write) => around('save', () => records.put(key, value, write)),
    delete: (key) => records.delete(key),
  }
  const place: SharedPlace = {
    records: watched,
    sessions: storedSessions(watched, { clock }),
    store: {
      get: (key) => around('look', () => store.get(key)),
      set: (key, value, expiresAt) => around(kindOf(value), () => store.set(key, value, expiresAt)),
      delete: (key) => around('forget', () => store.delete(key)),
    },
    lock: (name, task, options) =>
      lock(
        name,
        async (turn) => {
          await reach('turn')
          return task(turn)
        },
        options,
      ),
    reach: () => {},
    counts,
  }
  return place
}

/** What is kept in the store: an intent says until when, the mark of an end is an instant, and a successor is encrypted. */
function kindOf(value: string): 'intent' | 'end mark' | 'successor' {
  if (value.startsWith('until ')) return 'intent'
  return /^\d+$/.test(value) ? 'end mark' : 'successor'
}

/** A server, and the time. */
export interface World {
  readonly server: HostileServer
  readonly clock: TestClock
}

type Options = Partial<UserTokenManagerOptions<Record<string, never>>>

/** The managers of a fleet have one client. */
export type Manager = UserTokenManager<{ readonly web: ReturnType<typeof clientOf> }>

/** Managers that share a place, as processes do. */
export function fleetAt(place: SharedPlace, { server, clock }: World, options: Options = {}): readonly Manager[] {
  const { sessions, store, lock } = place
  const shared = { clock, subjects: sessions, store, lock, ...options }
  return Array.from({ length: 4 }, () => createUserTokenManager({ ...shared, clients: { web: clientOf(server) } }))
}

/** Managers of a server that says what it is, so that ID tokens are looked at and tokens can be revoked. */
export function discoveringFleet(place: SharedPlace, world: World, options: Options = {}): readonly Manager[] {
  const { server, clock } = world
  const web = clientOf(server, { issuer: server.origin, tokenEndpoint: undefined })
  const shared = { clock, subjects: place.sessions, store: place.store, lock: place.lock, ...options }
  return Array.from({ length: 4 }, () => createUserTokenManager({ ...shared, clients: { web } }))
}

/** Answers the question for metadata, and leaves everything else to another. */
export function withMetadata({ origin }: HostileServer, answer: Handler): Handler {
  const metadata = { issuer: origin, token_endpoint: `${origin}/token`, revocation_endpoint: `${origin}/revoke` }
  return (request) => (request.method === 'GET' ? { body: JSON.stringify(metadata) } : answer(request))
}

/** Waits for the next request that is no question for metadata. */
export async function nextPost(server: HostileServer, path = '/token') {
  for (;;) {
    const request = await server.nextRequest()
    if (request.method === 'POST' && request.url === path) return request
  }
}

/** The access token of a user as text. */
export async function textOf(manager: Manager, subject: string, options?: object): Promise<string> {
  return (await manager.forSubject('web', subject).source().getToken(options)).accessToken
}

/** Requests that spend a refresh token. */
export function refreshes({ requests }: HostileServer): readonly string[] {
  return requests.filter(({ url }) => url === '/token').map(({ form }) => form.get('refresh_token') ?? '')
}

/** Something that one part of a test waits for and another one brings about. */
export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

export function createGate(): Gate {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** An ID token that nobody has signed: one that comes from the token endpoint needs no signature (OpenID Connect Core section 3.1.3.7). */
export function idToken(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'RS256', kid: 'k' })}.${part(claims)}.${Buffer.from('signature').toString('base64url')}`
}

/** An answer that the server has committed to, and that nobody gets. */
export function lost(answer: Handler): Handler {
  return async (request) => {
    await answer(request)
    const cut: Answer = (_response, socket) => void socket.resetAndDestroy()
    return cut
  }
}

/** Lets time pass in small steps until something is done that waits for it now and then. For managers whose requests have no deadline to miss. */
export async function whileTimePasses<T>(clock: TestClock, work: Promise<T>, stepMs = 50): Promise<T> {
  let isDone = false
  const done = (): void => {
    isDone = true
  }
  work.then(done, done)
  while (!isDone) {
    await clock.advance(stepMs)
    // What is hashed and encrypted takes real time, which is none by this clock.
    for (let hop = 0; hop < HOPS; hop++) await settle()
  }
  return work
}

/** The same sessions, for one process that waits before it saves. */
export function slowToSave(place: SharedPlace, before: () => Promise<void> | void): SharedPlace {
  const { sessions } = place
  return {
    ...place,
    sessions: {
      ...sessions,
      ofSubject(subject) {
        const session = sessions.ofSubject(subject)
        return {
          id: session.id,
          load: () => session.load(),
          clear: () => session.clear(),
          async save(set) {
            await before()
            return session.save(set)
          },
        }
      },
    },
  }
}
