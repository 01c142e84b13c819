import type { EntryName } from '../source/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { canonicalText, describe, sha256 } from '../util/index.ts'
import type { ClientDefinition } from './client-definition.ts'

/** What an entry of the store is about. */
export interface StoreEntry {
  /** The client, by the name that the application gave it. */
  readonly clientName: string
  readonly clientId: string
  /** Scope values in one order. */
  readonly scope: readonly string[]
  /** Resources (RFC 8707) in one order. */
  readonly resource: readonly string[]
  readonly partition: string | undefined
  /** Thumbprint of the key that the token is bound to (RFC 9449), where it is bound to one. */
  readonly jkt: string | undefined
  /** The key that it would have without a key maker: a hash of everything that shapes the token. */
  readonly key: string
}

/**
 * Makes the key of an entry in the store. Two entries of one key push each other out, and are never taken for each other. The key tells whoever
 * can read the store what it is made of.
 */
export type StoreKeyMaker = (entry: StoreEntry) => string

/** Names a token for everybody who shares a store, and tells nothing about it. */
export function identityOf(definition: ClientDefinition, shape: string, jkt?: string): Promise<string> {
  const { issuer = null, tokenEndpoint = null, clientId, acceptNarrowedScope = false, certificate } = definition
  // A narrowed token that one manager accepts must not reach another that does not.
  const bound = [certificate?.thumbprint ?? null, jkt ?? null]
  const grant = [clientId, 'client_credentials', acceptNarrowedScope]
  return sha256(canonicalText([1, issuer, tokenEndpoint, ...grant, shape, ...bound]))
}

/**
 * What an entry is called by a key maker.
 *
 * @throws ConfigurationError with code `store_key_failed`.
 */
export function entryName(keyMaker: StoreKeyMaker, entry: StoreEntry): EntryName {
  const failed = (came: string, cause?: unknown): ConfigurationError =>
    new ConfigurationError(`client "${entry.clientName}": expected storeKey to give a key, got ${came}`, {
      code: 'store_key_failed',
      cause,
    })
  let key: unknown
  try {
    key = keyMaker(entry)
  } catch (cause) {
    throw failed('an error', cause)
  }
  if (typeof key === 'string' && key !== '') return { identity: entry.key, key }
  throw failed(describe(key))
}
