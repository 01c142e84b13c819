import type { LRUCache } from 'lru-cache'
import type { Prover } from '../dpop/index.ts'
import { type ClientAuthentication, type OAuthClient, revokeToken } from '../oauth/index.ts'
import {
  type EntryHistory,
  type EntryName,
  observedSource,
  type SlotEnvironment,
  SlotSource,
  type StoredEntries,
  TokenSlot,
} from '../source/index.ts'
import type { WithLock } from '../store/index.ts'
import { type AccessToken, isSameToken, type TokenRequest, type TokenSource, TransportError } from '../token/index.ts'
import { canonicalText, withDeadline } from '../util/index.ts'
import { authenticationFor, type ClientAssertionService } from './assertion-service.ts'
import { clientCredentialsSource } from './client-credentials.ts'
import type { ClientDefinition } from './client-definition.ts'
import type { ClientDPoP } from './client-dpop.ts'
import { createDeletions } from './deletions.ts'
import { type EffectiveRequest, effectiveRequest, partsOf, shapeOf } from './effective-request.ts'
import type { News } from './forget-together.ts'
import { createRequestSources } from './request-sources.ts'
import { entryName, identityOf, type StoreKeyMaker } from './store-entries.ts'
import { deleteStored } from './stored-tokens.ts'

/** What one client needs of its manager. */
export interface MachineClientOptions {
  readonly definition: ClientDefinition
  readonly oauth: OAuthClient
  readonly env: SlotEnvironment
  readonly service: ClientAssertionService | undefined
  readonly dpop: ClientDPoP | undefined
  readonly entries: StoredEntries | undefined
  readonly storeKey: StoreKeyMaker | undefined
  readonly lock: WithLock | undefined
  readonly news: News | undefined
  readonly deadlineMs: number
  /** Slots of requests, of all clients of the manager together; each name begins with its client's. */
  readonly slots: LRUCache<string, TokenSlot>
  /** Sources of requests, likewise. */
  readonly sources: () => LRUCache<string, TokenSource>
  readonly isObserved: boolean
}

/** The tokens of one client that acts as itself (RFC 6749 section 4.4). */
export class MachineClient {
  readonly #options: MachineClientOptions
  readonly #prefix: string
  /** The client's own request, without anything varied: its slot is never pushed out. */
  readonly #ownShape: string
  readonly #ownSlot: TokenSlot
  readonly #ownSource: TokenSource
  readonly #deletions = createDeletions()
  /** Of the certificate that the tokens in memory are bound to. */
  #boundTo: string | undefined
  readonly #sourceOf: ReturnType<typeof createRequestSources>

  constructor(options: MachineClientOptions) {
    this.#options = options
    this.#boundTo = options.definition.certificate?.thumbprint
    this.#prefix = canonicalText([options.oauth.clientName])
    const create = (effective: EffectiveRequest): TokenSource => this.#requestSource(effective)
    this.#sourceOf = createRequestSources({ sources: options.sources, prefix: this.#prefix, create })
    const own = this.#read()
    this.#ownShape = shapeOf(own)
    this.#ownSlot = new TokenSlot(options.env)
    this.#ownSource = this.#observed(this.#bound(new SlotSource(this.#ownSlot, this.#grant(own, this.#ownShape))))
  }

  /** What proves the keys that its tokens are bound to. */
  get prover(): Prover | undefined {
    return this.#options.dpop?.prover
  }

  /** The same request always has the same source, while there is room for it. */
  source(request?: TokenRequest): TokenSource {
    if (request === undefined) return this.#ownSource
    return this.#sourceOf(request, this.#read(request))
  }

  /** As {@link source}, for one call: nothing but the token is kept. */
  sourceOnce(request?: TokenRequest): TokenSource {
    return request === undefined ? this.#ownSource : this.#requestSource(this.#read(request))
  }

  /** Forgets one token here and in the store. */
  async delete(request?: TokenRequest): Promise<void> {
    await this.#forget(shapeOf(this.#read(request)))
  }

  /** Forgets all tokens of this client that this process knows of. */
  async deleteAll(): Promise<void> {
    const names = [...this.#options.slots.keys()].filter((key) => key.startsWith(this.#prefix))
    const shapes = [this.#ownShape, ...names.map((key) => key.slice(this.#prefix.length))]
    await Promise.all(shapes.map((shape) => this.#forget(shape)))
  }

  /** Forgets all tokens here, and leaves the store as it is for other processes. */
  forgetAll(): void {
    const { slots, sources } = this.#options
    this.#ownSlot.forget()
    for (const slot of slots.values()) slot.forget()
    slots.clear()
    sources().clear()
  }

  /** Forgets one token and tells the server that it is not needed any more (RFC 7009). */
  async revoke(request?: TokenRequest): Promise<void> {
    const effective = this.#read(request)
    const authentication = this.#authentication(effective)
    // In the store there may be one for each key, and one that another process has got since.
    const found: AccessToken[] = []
    const held = await this.#forget(shapeOf(effective), (token) => found.push(token))
    const all = held === undefined ? found : [held, ...found.filter((token) => !isSameToken(token, held))]
    await Promise.all(all.map((token) => this.#revoke(token, authentication)))
  }

  #revoke({ accessToken: token, jkt: boundTo }: AccessToken, authentication: ClientAuthentication): Promise<void> {
    const { oauth, dpop, deadlineMs: ms } = this.#options
    // Without its key the token can be revoked all the same, unless the server asks for a proof.
    const jkt = boundTo !== undefined && dpop?.prover.holds(boundTo) ? boundTo : undefined
    const error = (): Error =>
      new TransportError(
        `client "${oauth.clientName}": expected the revocation to end within ${ms} ms, got no answer`,
        { code: 'timeout', retryable: true, ambiguous: true },
      )
    return withDeadline(
      (signal) => revokeToken(oauth, { token, tokenTypeHint: 'access_token', authentication, jkt, signal }),
      { clock: oauth.clock, ms, error },
    )
  }

  async #forget(shape: string, onFound?: (token: AccessToken) => void): Promise<AccessToken | undefined> {
    const { entries, news, dpop, oauth, deadlineMs } = this.#options
    const held = this.#drop(shape)
    if (entries === undefined) return held
    const name = (jkt: string | undefined): Promise<EntryName> => this.#name(shape, jkt)
    await deleteStored({ entries, news, dpop, clock: oauth.clock, deadlineMs }, { name, held, onFound })
    return held
  }

  /** Forgets one token here, and what was asked for or read before. */
  #drop(shape: string): AccessToken | undefined {
    const { slots } = this.#options
    const key = this.#prefix + shape
    this.#deletions.deleted(shape, this.#options.oauth.clock.now())
    const slot = shape === this.#ownShape ? this.#ownSlot : slots.peek(key)
    const held = slot?.held
    slot?.forget()
    slots.delete(key)
    return held
  }

  /** Another process has deleted a token, or has replaced one that was refused: what is known of the server is as true as before. */
  #hear(shape: string): void {
    this.#deletions.heard(shape)
    const slot = shape === this.#ownShape ? this.#ownSlot : this.#options.slots.peek(this.#prefix + shape)
    slot?.drop()
  }

  #read(request?: TokenRequest): EffectiveRequest {
    return effectiveRequest(this.#options.oauth.clientName, this.#options.definition, request)
  }

  #slot(shape: string): TokenSlot {
    if (shape === this.#ownShape) return this.#ownSlot
    const { slots, env } = this.#options
    const key = this.#prefix + shape
    const known = slots.get(key)
    if (known !== undefined) return known
    const slot = new TokenSlot(env)
    slots.set(key, slot)
    return slot
  }

  #requestSource(request: EffectiveRequest): TokenSource {
    const shape = shapeOf(request)
    const source: TokenSource = {
      getToken: (options) => {
        // Looked up for every call: a slot that was pushed out must not live on here, unknown to `delete`.
        const slot = this.#slot(shape)
        const fresh = options === undefined ? slot.fresh() : undefined
        return fresh ?? slot.get(this.#grant(request, shape), options, request.clientAssertion)
      },
    }
    return this.#observed(this.#bound(source))
  }

  #grant(request: EffectiveRequest, shape: string): TokenSource {
    const { oauth, dpop, entries, lock, news, deadlineMs } = this.#options
    const authentication = this.#authentication(request)
    const name = async (jkt: string | undefined): Promise<EntryName> => {
      const entry = await this.#name(shape, jkt)
      news?.remember(entry.identity, () => this.#hear(shape), shape === this.#ownShape)
      return entry
    }
    const history = (): EntryHistory => this.#deletions.of(shape)
    return clientCredentialsSource(request, {
      oauth,
      authentication,
      deadlineMs,
      dpop,
      entries,
      lock,
      news,
      name,
      history,
    })
  }

  async #name(shape: string, jkt: string | undefined): Promise<EntryName> {
    const { definition, storeKey, oauth } = this.#options
    const { clientName, clientId } = oauth
    const key = await identityOf(definition, shape, jkt)
    return storeKey === undefined
      ? { identity: key, key }
      : entryName(storeKey, { clientName, clientId, ...partsOf(shape), jkt, key })
  }

  #authentication({ original }: EffectiveRequest): ReturnType<typeof authenticationFor> {
    const { service, definition } = this.#options
    return authenticationFor({ request: original, service, own: definition.authentication })
  }

  /** A certificate that was replaced leaves its tokens behind. */
  #bound(source: TokenSource): TokenSource {
    const { certificate } = this.#options.definition
    if (certificate === undefined) return source
    return {
      getToken: (options) => {
        if (certificate.thumbprint !== this.#boundTo) this.#forgetHere()
        this.#boundTo = certificate.thumbprint
        return source.getToken(options)
      },
    }
  }

  #forgetHere(): void {
    const { slots } = this.#options
    this.#ownSlot.forget()
    for (const [key, slot] of slots) if (key.startsWith(this.#prefix)) slot.forget()
  }

  #observed(source: TokenSource): TokenSource {
    const { isObserved, oauth } = this.#options
    return isObserved ? observedSource(source, oauth.telemetry, oauth.clientName) : source
  }
}
