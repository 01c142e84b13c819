import { LRUCache } from 'lru-cache'
import { type ClientDefinition, type EffectiveRequest, effectiveRequest, shapeOf } from '../client/index.ts'
import { ConfigurationError, type TokenRequest } from '../token/index.ts'
import { canonicalText, describe, type RunDetached, sha256 } from '../util/index.ts'
import { clientMark } from './client-mark.ts'
import { Lineage } from './refresh/lineage.ts'
import type { SessionEnvironment, SessionRequest } from './session-environment.ts'
import type { SessionTokens } from './session-tokens.ts'

/** What a {@link UserClient} needs. */
export interface UserClientOptions {
  readonly definition: ClientDefinition
  readonly env: SessionEnvironment
  readonly runDetached: RunDetached
  /** So many lineages are remembered when nothing is under way in them. */
  readonly maxSessions: number
  /** How long a session that was loaded is used before it is loaded again. */
  readonly memoryMs: number
}

/** One client whose users have sessions. */
export class UserClient {
  readonly definition: ClientDefinition
  readonly env: SessionEnvironment
  readonly memoryMs: number
  readonly #runDetached: RunDetached
  /** Lineages that are remembered though nobody holds them. */
  readonly #recent: LRUCache<string, Lineage>
  /** One that somebody holds, or in which something is under way, must not be made a second time. */
  readonly #alive = new Map<string, WeakRef<Lineage>>()
  readonly #collected = new FinalizationRegistry<string>((name) => {
    if (this.#alive.get(name)?.deref() === undefined) this.#alive.delete(name)
  })
  readonly #flights = new Set<Promise<unknown>>()
  #usual: SessionRequest | undefined
  #isClosed = false

  constructor({ definition, env, runDetached, maxSessions, memoryMs }: UserClientOptions) {
    this.definition = definition
    this.env = env
    this.memoryMs = memoryMs
    this.#runDetached = runDetached
    this.#recent = new LRUCache({ max: maxSessions })
  }

  get name(): string {
    return this.env.oauth.clientName
  }

  /** Its name among all clients of all servers, which is the same in every process. */
  get mark(): string {
    return clientMark(this.definition)
  }

  read(request?: TokenRequest): EffectiveRequest {
    return effectiveRequest(this.name, this.definition, request)
  }

  /** What a request of a user asks for. */
  requestOf(request?: TokenRequest): SessionRequest {
    if (request !== undefined) return this.#requestOf(request)
    // A web server asks for it in each of its requests.
    this.#usual ??= this.#requestOf({})
    return this.#usual
  }

  #requestOf(request: TokenRequest): SessionRequest {
    const effective = this.read(request)
    const { resource, parameters, original } = effective
    const authentication = this.env.authenticationFor(original)
    // The scope of the sign-in is the refresh token's own (RFC 6749 section 6): only what was asked for beside it is named.
    return { shape: shapeOf(effective), scope: request.scope, resource, parameters, authentication }
  }

  /** What this process knows of a session. */
  async lineageOf({ id }: SessionTokens): Promise<Lineage> {
    if (typeof id !== 'string' || id === '') {
      const message = `client "${this.name}": expected a session with an id, got ${describe(id)}`
      throw new ConfigurationError(message, { code: 'session_invalid' })
    }
    const name = await sha256(canonicalText([1, 'lineage', this.mark, id]))
    const lineage = this.#recent.get(name) ?? this.#alive.get(name)?.deref() ?? this.#made(name)
    this.#recent.set(name, lineage)
    return lineage
  }

  #made(name: string): Lineage {
    const lineage = new Lineage(name, this.env, (task) => this.#watched(task))
    this.#alive.set(name, new WeakRef(lineage))
    this.#collected.register(lineage, name)
    return lineage
  }

  #watched<T>(task: () => Promise<T>): Promise<T> {
    const flight = this.#runDetached(task)
    this.#flights.add(flight)
    const landed = (): void => void this.#flights.delete(flight)
    flight.then(landed, landed)
    return flight
  }

  get isOpen(): boolean {
    return !this.#isClosed
  }

  /** Refuses new calls. */
  close(): void {
    this.#isClosed = true
  }

  /** Resolves when no refresh is under way any more: what they bring has to be kept. */
  async settled(): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled(this.#flights)
  }
}
