import type { RequestTarget } from '../resource/index.ts'
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

/** Asks the customiser for each token, where there is one. */
export function userSources(client: UserClient, user: UserSession): UserSources {
  const { env, name: clientName } = client
  const { customized } = env
  if (customized === undefined) {
    return {
      of: (request) => user.source(request),
      byTarget(request) {
        const own = user.source(request)
        return () => own
      },
    }
  }
  return {
    of(request = {}) {
      // A mistake of the caller is told here.
      client.read(request)
      return {
        async getToken(options) {
          const asked = customized({ kind: 'token_request', clientName, request })
          return user.source(await waitFor(asked, options?.signal)).getToken(options)
        },
      }
    },
    byTarget(request) {
      client.read(request)
      return async (target) => user.source(await customized(resourceRequest(target, { clientName, request })))
    },
  }
}
