import type { Fetch } from 'evertoken'
import { identityOnWire } from './identities.ts'
import type { Machine } from './machine.ts'
import type { Network } from './network.ts'

/** A token as its server knows it. */
export interface IssuedToken {
  readonly text: string
  readonly identity: string
  readonly lifetimeMs: number
  /** Who asked for it, and when. */
  readonly askedBy: Machine
  readonly askedAt: number
  /** By the world's time. */
  readonly expiresAt: number
  isRevoked: boolean
}

/** Who watches a {@link ModelServer}. */
export interface ServerWatch {
  requested(identity: string, machine: Machine): void
  issued(token: IssuedToken): void
  /** A process has its token. */
  answered(identity: string, machine: Machine): void
  /** The client of a request will not get its token. */
  failed(identity: string): void
}

/** What a {@link ModelServer} is made of. */
export interface ModelServerOptions extends Network {
  readonly watch: ServerWatch
  readonly lifetimeMs: number
  /** The share of requests that go wrong. */
  readonly faultRate: number
}

/** Authorization servers behind one `fetch`. */
export class ModelServer {
  /** All tokens, by their text. */
  readonly tokens = new Map<string, IssuedToken>()
  readonly #options: ModelServerOptions
  #count = 0

  constructor(options: ModelServerOptions) {
    this.#options = options
  }

  /** How one process reaches the servers. */
  connect(machine: Machine): Fetch {
    return (url, init) =>
      machine.promise((resolve, reject) => {
        const { signal } = init ?? {}
        const giveUp = (): void => reject(signal?.reason)
        signal?.addEventListener('abort', giveUp, { once: true })
        const answer = (response: Response): void => {
          signal?.removeEventListener('abort', giveUp)
          resolve(response)
        }
        const identity = identityOnWire(String(url), init)
        const { latency, watch, faultRate } = this.#options
        const { scheduler } = machine
        const fault = scheduler.random() < faultRate ? scheduler.pick(FAULTS) : undefined
        const lose = (): void => {
          watch.failed(identity)
          machine.after(latency(), 'connection lost', () => {
            signal?.removeEventListener('abort', giveUp)
            reject(new TypeError('fetch failed'))
          })
        }
        const askedAt = scheduler.now
        watch.requested(identity, machine)
        if (fault === 'lost') return lose()
        // A request that hangs may have been answered.
        scheduler.after(latency(), `${machine.name} asks for ${identity}`, () => {
          if (fault === '500' || fault === '503' || fault === '429') {
            watch.failed(identity)
            return machine.after(latency(), fault, () => answer(failure(Number(fault))))
          }
          const isMixedUp = this.#options.sabotage === 'answers are mixed up' && scheduler.random() < 0.1
          const token = this.#issue({ identity: isMixedUp ? 'another' : identity, askedBy: machine, askedAt })
          if (fault === 'answer lost') return lose()
          if (fault === 'hanging') return watch.failed(identity)
          const lateMs = fault === 'late' ? 1000 + scheduler.below(12_000) : 0
          if (lateMs > 0) watch.failed(identity)
          machine.after(latency() + lateMs, `got ${token.text}`, () => {
            watch.answered(identity, machine)
            answer(success(token))
          })
        })
      })
  }

  /** The newest token of an identity, if it is any good. */
  newest(identity: string): IssuedToken | undefined {
    return [...this.tokens.values()].findLast((token) => token.identity === identity)
  }

  #issue(asked: Pick<IssuedToken, 'identity' | 'askedBy' | 'askedAt'>): IssuedToken {
    const { lifetimeMs, watch } = this.#options
    const text = `t${++this.#count}`
    const token = { ...asked, text, lifetimeMs, expiresAt: asked.askedBy.scheduler.now + lifetimeMs, isRevoked: false }
    this.tokens.set(text, token)
    watch.issued(token)
    return token
  }
}

const FAULTS = ['500', '503', '429', 'lost', 'answer lost', 'hanging', 'late'] as const

function success({ text, lifetimeMs }: IssuedToken): Response {
  return json(200, { access_token: text, token_type: 'Bearer', expires_in: lifetimeMs / 1000 })
}

function failure(status: number): Response {
  return json(
    status,
    { error: status === 429 ? 'slow_down' : 'server_error' },
    status === 429 ? { 'retry-after': '1' } : {},
  )
}

function json(status: number, body: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } })
}
