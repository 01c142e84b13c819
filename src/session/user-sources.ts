import type { RequestTarget } from '../resource/index.ts'
import { observedSource } from '../source/index.ts'
import type { TokenRequest, TokenSource } from '../token/index.ts'
import { type Awaitable, waitFor } from '../util/index.ts'
import { resourceRequest } from './request-customizer.ts'
import type { UserClient } from './user-client.ts'
import type { UserSession } from './user-session.ts'

/** The sources of one user, for whoever asks. */
export interface UserSources {
  /** Of one request. */
  of(request?: TokenRequest): TokenSource
  /** Of a request, for each target of an authorizer. */
  byTarget(request: TokenRequest | undefined): (target: RequestTarget) => Awaitable<TokenSource>
}

/** Sources that ask the customiser for each token, where there is one, and that are observed where anybody listens. */
export function userSources(client: UserClient, user: UserSession): UserSources {
  const { env, name: clientName } = client
  const { customized, telemetry, isObserved } = env
  const observed = (source: TokenSource): TokenSource =>
    isObserved ? observedSource(source, telemetry, clientName) : source
  if (customized === undefined) {
    const of = (request?: TokenRequest): TokenSource => observed(user.source(request))
    return {
      of,
      byTarget(request) {
        const own = of(request)
        return () => own
      },
    }
  }
  return {
    of(request = {}) {
      // A mistake of the caller is told here.
      client.read(request)
      return observed({
        async getToken(options) {
          const asked = customized({ kind: 'token_request', clientName, request })
          return user.source(await waitFor(asked, options?.signal)).getToken(options)
        },
      })
    },
    byTarget(request) {
      client.read(request)
      return async (target) => observed(user.source(await customized(resourceRequest(target, { clientName, request }))))
    },
  }
}
