import { type KeyOptions, type PrivateKey, prepareKey, signJwt } from '../../keys/index.ts'
import { systemClock } from '../../util/index.ts'
import { type AssertionOptions, assertionTemplate } from './assertion-claims.ts'
import { addAssertion, JWT_BEARER } from './client-assertion.ts'
import type { ClientAuthentication } from './client-authentication.ts'

/** What shapes the assertions of `privateKeyJwt`. */
export interface PrivateKeyJwtOptions extends AssertionOptions, KeyOptions {}

/**
 * `private_key_jwt`: an assertion signed with the client's private key, a fresh one for every attempt
 * (RFC 7523 section 2.2, OpenID Connect Core section 9).
 *
 * @throws ConfigurationError with code `key_invalid` or `assertion_options_invalid`.
 */
export function privateKeyJwt(key: PrivateKey, options: PrivateKeyJwtOptions = {}): ClientAuthentication {
  const prepared = prepareKey(key, options)
  const { typ, needsIssuer, claimsFor } = assertionTemplate('privateKeyJwt', prepared.alg, options)
  return {
    method: 'private_key_jwt',
    needsIssuer,
    async apply({ body }, client, { signal, clock = systemClock } = {}) {
      const signer = await prepared.load()
      const value = await signJwt(signer, { typ, claims: claimsFor(client, clock.wallTime()), signal })
      addAssertion(body, client.clientId, { type: JWT_BEARER, value })
    },
  }
}
