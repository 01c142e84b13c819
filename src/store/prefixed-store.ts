import { optionInvalid } from '../token/index.ts'
import { describe } from '../util/index.ts'
import { assertStore, type TokenStore } from './token-store.ts'

/**
 * A part of a store: every key begins with the prefix there. Put it around an `encryptedStore`, not inside, so that the
 * prefix is part of what an entry is bound to.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function prefixedStore(store: TokenStore, prefix: string): TokenStore {
  assertStore('prefixedStore', store)
  if (typeof prefix !== 'string' || prefix === '') {
    throw optionInvalid('prefixedStore', `prefix to be a text, got ${describe(prefix)}`)
  }
  return {
    get: (key, options) => store.get(prefix + key, options),
    set: (key, value, expiresAt) => store.set(prefix + key, value, expiresAt),
    delete: (key) => store.delete(prefix + key),
  }
}
