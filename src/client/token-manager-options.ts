import type { NonceStore } from '../dpop/index.ts'
import type { Fetch } from '../oauth/index.ts'
import type { Serializer } from '../source/index.ts'
import type { Invalidations, TokenStore, WithLock } from '../store/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { type Clock, describe } from '../util/index.ts'
import type { ClientAssertionService } from './assertion-service.ts'
import { assertFunction, assertMs, assertOptions, optionInvalid } from './check.ts'
import type { ClientDefinition, LifetimeOptions } from './client-definition.ts'
import { checkLifetime } from './client-settings.ts'
import type { RequestCustomizer } from './request-customizer.ts'
import type { StoreKeyMaker } from './store-entries.ts'

/** Clients by name. */
export type ClientDefinitions = Readonly<Record<string, ClientDefinition>>

/** What a token manager is made of. */
export interface TokenManagerOptions<Clients extends ClientDefinitions> {
  /** Clients by the names that the application calls them. */
  readonly clients: Clients
  /** Central service for client assertions, asked before a client's own `authentication`. */
  readonly clientAssertion?: ClientAssertionService | undefined
  /** Asked for every request of an authorizer or `fetch`, before its token is looked up. */
  readonly customizeRequest?: RequestCustomizer | undefined
  /** Tokens are shared through it, behind the memory of this process. Its failures count as "not there". */
  readonly store?: TokenStore | undefined
  /** Turns what is kept in `store` into text and back. Default `JSON`. */
  readonly serializer?: Serializer | undefined
  /** Makes the keys of entries in `store`. Default: a hash of everything that shapes the token. */
  readonly storeKey?: StoreKeyMaker | undefined
  /**
   * Held by one process while it asks for a token that all who share `store` use. Where it is not to be had the token is asked for without it.
   * Default: none, each process asks for itself.
   */
  readonly lock?: WithLock | undefined
  /**
   * News between the processes that share `store`: what one of them has deleted, or seen refused, the others forget at once. Default: none, they
   * find out when they look into the store, once a minute (`lifetime.memoryMs`).
   */
  readonly invalidations?: Invalidations | undefined
  /** DPoP nonces are shared through it, behind the memory of this process: see `sharedNonceStore`. Its failures count as "not there". */
  readonly nonceStore?: NonceStore | undefined
  /** Told of operations and events. */
  readonly telemetry?: Telemetry | undefined
  /** Back-channel requests of all clients that have no `fetch` of their own. Default: the global `fetch`. */
  readonly fetch?: Fetch | undefined
  /** When tokens are renewed, for clients that do not say. */
  readonly lifetime?: LifetimeOptions | undefined
  /** How long one token may take to get, in milliseconds, everything included. Default 10,000. */
  readonly deadlineMs?: number | undefined
  /**
   * How many tokens of requests other than the clients' own are kept in memory; beyond that those that were not used for longest go.
   * Default 10,000.
   */
  readonly maxEntries?: number | undefined
  /** Where time comes from. Default: the system's clock. */
  readonly clock?: Clock | undefined
}

const OPTIONS = [
  'clients',
  'clientAssertion',
  'customizeRequest',
  'store',
  'serializer',
  'storeKey',
  'lock',
  'invalidations',
  'nonceStore',
  'telemetry',
  'fetch',
  'lifetime',
  'deadlineMs',
  'maxEntries',
  'clock',
] as const
const SUBJECT = 'createTokenManager'

/**
 * Checks the options of a manager, its clients apart.
 *
 * @throws ConfigurationError that names the option.
 */
export function checkManagerOptions(options: TokenManagerOptions<ClientDefinitions>): void {
  const given = Object(options) as typeof options
  const { clients, clientAssertion, customizeRequest, fetch, lifetime, deadlineMs, maxEntries } = given
  assertOptions(SUBJECT, options, OPTIONS)
  if (typeof clients !== 'object' || clients === null || Array.isArray(clients)) {
    throw optionInvalid(SUBJECT, `clients to be an object, got ${describe(clients)}`)
  }
  assertFunction(SUBJECT, 'clientAssertion', clientAssertion)
  assertFunction(SUBJECT, 'customizeRequest', customizeRequest)
  assertFunction(SUBJECT, 'fetch', fetch)
  assertMethods('store', given.store, ['get', 'set', 'delete'])
  assertFunction(SUBJECT, 'lock', given.lock)
  assertMethods('invalidations', given.invalidations, ['publish', 'subscribe'])
  assertMethods('serializer', given.serializer, ['stringify', 'parse'])
  assertFunction(SUBJECT, 'storeKey', given.storeKey)
  for (const option of ['serializer', 'storeKey', 'lock', 'invalidations'] as const) {
    if (given[option] !== undefined && given.store === undefined) {
      throw optionInvalid(SUBJECT, `a store beside ${option}, got none`)
    }
  }
  assertMethods('nonceStore', given.nonceStore, ['get', 'set'])
  checkLifetime(SUBJECT, lifetime)
  assertMs(SUBJECT, 'deadlineMs', deadlineMs)
  if (maxEntries !== undefined && !(Number.isInteger(maxEntries) && maxEntries > 0)) {
    throw optionInvalid(SUBJECT, 'maxEntries to be a whole number above zero')
  }
}

function assertMethods(option: string, value: unknown, methods: readonly string[]): void {
  if (value === undefined) return
  const missing = methods.find((method) => typeof Object(value)[method] !== 'function')
  if (missing !== undefined) throw optionInvalid(SUBJECT, `${option} to have a method "${missing}"`)
}
