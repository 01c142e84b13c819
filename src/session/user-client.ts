import { LRUCache } from 'lru-cache'
import { type ClientDefinition, type EffectiveRequest, effectiveRequest, shapeOf } from '../client/index.ts'
import { ConfigurationError, type TokenRequest } from '../token/index.ts'
import { canonicalText, describe, type RunDetached, sha256 } from '../util/index.ts'
import { clientMark } from './client-mark.ts'
import { Lineage } from './lineage.ts'
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
  readonly #idle: LRUCache<string, Lineage>
  /** A lineage in which something is under way must not be made a second time. */
  readonly #busy = new Map<string, Lineage>()
  readonly #afterwards = new Set<Promise<void>>()
  #usual: SessionRequest | undefined
  #isClosed = false

  constructor({ definition, env, runDetached, maxSessions, memoryMs }: UserClientOptions) {
    this.definition = definition
    this.env = env
    this.memoryMs = memoryMs
    this.#runDetached = runDetached
    this.#idle = new LRUCache({
      max: maxSessions,
      dispose: (lineage, id, reason) => {
        if (reason === 'evict' && lineage.isBusy) this.#busy.set(id, lineage)
      },
    })
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
    // No await between the look and the claim.
    for (const [busy, lineage] of this.#busy) if (!lineage.isBusy) this.#busy.delete(busy)
    const known = this.#idle.get(name) ?? this.#busy.get(name)
    const lineage = known ?? new Lineage(name, this.env, this.#runDetached)
    this.#idle.set(name, lineage)
    return lineage
  }

  get isOpen(): boolean {
    return !this.#isClosed
  }

  /** Does something that nobody waits for but `close`, and whose failure nobody hears of. */
  afterwards(task: () => Promise<void>): void {
    const done = this.#runDetached(task)
      .catch(() => {})
      .finally(() => this.#afterwards.delete(done))
    this.#afterwards.add(done)
  }

  /** Refuses new calls, and waits for refreshes that are under way: what they bring has to be kept. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#afterwards)
    await Promise.all([...this.#idle.values(), ...this.#busy.values()].map((lineage) => lineage.settled()))
  }
}
