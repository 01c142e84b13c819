import {
  type AccessToken,
  ConfigurationError,
  createAccessToken,
  isSameToken,
  type TokenSource,
} from '../token/index.ts'
import { type Clock, systemClock } from '../util/index.ts'

/**
 * A source that has one token and cannot get another: a token from the command line, a test.
 *
 * `getToken` throws ConfigurationError with code `token_expired`, `token_rejected` or `token_not_renewable`.
 */
export function staticSource(
  token: AccessToken,
  { clock = systemClock }: { readonly clock?: Clock } = {},
): TokenSource {
  const own = createAccessToken(token)
  return {
    async getToken({ signal, rejected, forceRenewal } = {}) {
      signal?.throwIfAborted()
      if (forceRenewal)
        throw unusable('token_not_renewable', 'a source that can renew, got one that has a single token')
      if (own.expiresAt <= clock.now()) throw unusable('token_expired', 'a token that lives, got one that has expired')
      if (rejected !== undefined && isSameToken(rejected, own)) {
        throw unusable('token_rejected', 'another token than the rejected one, got a source that has no other')
      }
      return own
    },
  }
}

function unusable(code: string, expected: string): ConfigurationError {
  return new ConfigurationError(`expected ${expected}`, { code })
}
