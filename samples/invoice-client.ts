import { type ClientAssertionService, clientAssertion, clientSecretBasic, createTokenManager } from 'evertoken'
import { type CryptoKey, SignJWT } from 'jose'

/** What this program knows about its authorization server and its clients. */
export interface Settings {
  readonly issuer: string
  readonly invoiceClientId: string
  /** Gives the private key of the client `invoice`, an EC key on the curve P-256. */
  readonly signingKey: () => Promise<CryptoKey>
  readonly catalogClientId: string
  readonly catalogSecret: string
}

/** Makes the assertions of the client `invoice` (RFC 7523 section 2.2); every other client goes on to its own authentication. */
export function invoiceAssertions(signingKey: Settings['signingKey']): ClientAssertionService {
  return async ({ clientName, clientId, issuer }) => {
    if (clientName !== 'invoice') return undefined
    if (issuer === undefined) throw new Error('the client "invoice" needs an issuer to address its assertions to')
    const value = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256', typ: 'client-authentication+jwt' })
      .setIssuer(clientId)
      .setSubject(clientId)
      // The issuer and not the token endpoint, which RFC 7523 allowed: an assertion for an endpoint serves whoever passes that
      // endpoint off as its own, so servers that follow the newer rules take the issuer only.
      .setAudience(issuer)
      .setJti(crypto.randomUUID())
      .setIssuedAt()
      .setExpirationTime('1 minute')
      .sign(await signingKey())
    return { type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', value }
  }
}

function noAssertion(): never {
  throw new Error('expected the assertion service to know this client')
}

/** Two clients of one server: `invoice` has an assertion made for every token request, `catalog` has a secret of its own. */
export function createTokens({ issuer, invoiceClientId, signingKey, catalogClientId, catalogSecret }: Settings) {
  return createTokenManager({
    clients: {
      // Never asked: the service makes its assertions, and a request without one must not go out.
      invoice: { issuer, clientId: invoiceClientId, authentication: clientAssertion(noAssertion), scope: 'invoice' },
      catalog: {
        issuer,
        clientId: catalogClientId,
        authentication: clientSecretBasic(catalogSecret),
        scope: 'catalog',
      },
    },
    clientAssertion: invoiceAssertions(signingKey),
  })
}
