import { signJwt } from '../../keys/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Resolvable, systemClock } from '../../util/index.ts'
import { type AssertionOptions, assertionTemplate } from './assertion-claims.ts'
import { addAssertion, JWT_BEARER } from './client-assertion.ts'
import type { ClientAuthentication } from './client-authentication.ts'
import { secretReader } from './client-secret.ts'

/** What shapes the assertions of `clientSecretJwt`. */
export interface ClientSecretJwtOptions extends AssertionOptions {
  /** JWS algorithm. Default `HS256`. */
  readonly alg?: 'HS256' | 'HS384' | 'HS512' | undefined
}

const HASH_BITS: Readonly<Record<string, number>> = { HS256: 256, HS384: 384, HS512: 512 }

/**
 * `client_secret_jwt`: an assertion with a message authentication code made from the client secret
 * (OpenID Connect Core section 9). The secret has at least as many bytes as the hash (RFC 7518 section 3.2).
 *
 * @throws ConfigurationError with code `secret_invalid` or `assertion_options_invalid`.
 */
export function clientSecretJwt(
  secret: Resolvable<string>,
  options: ClientSecretJwtOptions = {},
): ClientAuthentication {
  const { alg = 'HS256' } = options
  const bits = HASH_BITS[alg]
  if (bits === undefined) {
    throw new ConfigurationError('clientSecretJwt: expected alg to be HS256, HS384 or HS512', {
      code: 'assertion_options_invalid',
    })
  }
  if (typeof secret === 'string' && secret !== '') secretBytes(secret, bits)
  const read = secretReader('clientSecretJwt', secret)
  const { typ, needsIssuer, claimsFor } = assertionTemplate('clientSecretJwt', alg, options)
  return {
    method: 'client_secret_jwt',
    needsIssuer,
    async apply({ body }, client, { clock = systemClock } = {}) {
      const bytes = secretBytes(await read(), bits)
      const hmac = { name: 'HMAC', hash: `SHA-${bits}` }
      const key = await crypto.subtle.importKey('raw', bytes, hmac, false, ['sign'])
      const sign = async (input: Uint8Array): Promise<Uint8Array> =>
        new Uint8Array(await crypto.subtle.sign('HMAC', key, input as Uint8Array<ArrayBuffer>))
      const value = await signJwt({ alg, sign }, { typ, claims: claimsFor(client, clock.wallTime()) })
      addAssertion(body, client.clientId, { type: JWT_BEARER, value })
    },
  }
}

function secretBytes(secret: string, bits: number): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(secret)
  const problem = secret.includes('-----BEGIN ')
    ? 'a PEM key'
    : bytes.length * 8 < bits
      ? `one of ${bytes.length}`
      : undefined
  if (problem === undefined) return bytes
  throw new ConfigurationError(`clientSecretJwt: expected a secret of at least ${bits / 8} bytes, got ${problem}`, {
    code: 'secret_invalid',
  })
}
