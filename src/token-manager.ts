import {
  type ClientDefinitions,
  createMachineTokens,
  type MachineTokens,
  type RequestFor,
  type TokenManagerOptions,
} from './client/index.ts'
import { type AuthorizedFetch, authorizedFetch } from './fetch/index.ts'
import { type Destination, destinationRules } from './resource/index.ts'

/** The tokens of an application's machine clients, and `fetch` with them. */
export interface TokenManager<Clients extends ClientDefinitions> extends MachineTokens<Clients> {
  /**
   * `fetch` with tokens: relative URLs resolve against `baseUrl`.
   *
   * @throws ConfigurationError with code `client_unknown`, `destination_invalid` or, for the request, `option_invalid`.
   */
  fetch<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    destination: Destination,
    request?: RequestFor<Clients[Name], Scope>,
  ): AuthorizedFetch
}

/**
 * Names an application's clients once, and keeps their access tokens alive from then on. Nothing is sent before a token is
 * asked for. Close it when the program ends, or leave that: it keeps no process alive.
 *
 * @throws ConfigurationError that names client and option, for every mistake that shows without asking a server.
 */
export function createTokenManager<const Clients extends ClientDefinitions>(
  options: TokenManagerOptions<Clients>,
): TokenManager<Clients> {
  const tokens = createMachineTokens(options)
  // As they are now: what is changed after this check must not reach a server.
  const certificates = new Map(Object.entries(options.clients).map(([name, { certificate }]) => [name, certificate]))
  return {
    ...tokens,
    fetch(name, destination, request) {
      const authorizer = tokens.authorizer(name, destination, request)
      const { baseUrl } = destinationRules(destination, `client "${name}"`)
      return authorizedFetch(authorizer, { baseUrl, certificate: certificates.get(name) })
    },
  }
}
