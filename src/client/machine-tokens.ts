import { createAuthorizer, type Destination, destinationRules, type RequestAuthorizer } from '../resource/index.ts'
import { closedError } from '../source/index.ts'
import {
  type AccessToken,
  ConfigurationError,
  type GetTokenOptions,
  isEvertokenError,
  type TokenSource,
} from '../token/index.ts'
import { describe, systemClock } from '../util/index.ts'
import type { MachineClient } from './machine-client.ts'
import { openClients } from './open-machine-tokens.ts'
import type { ClientDefinitions, OutgoingRequest, TokenManagerOptions } from './token-manager-options.ts'
import type { RequestFor } from './typed-request.ts'

/** The tokens of machine clients, by the names that the application gave them. */
export interface MachineTokens<Clients extends ClientDefinitions> {
  /** A usable access token, from memory if there is one. */
  getToken<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
    options?: GetTokenOptions,
  ): Promise<AccessToken>
  /** The same name and request always give the same source. */
  source<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): TokenSource
  /** That source, ready for a transport. */
  authorizer<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    destination: Destination,
    request?: RequestFor<Clients[Name], Scope>,
  ): RequestAuthorizer
  /** Forgets one cached token, all of one client, or all. */
  delete<Name extends keyof Clients & string, const Scope extends string = string>(
    name?: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): Promise<void>
  /**
   * Forgets one cached token and tells the authorization server that it is not needed any more (RFC 7009). Without a cached
   * token nothing is sent.
   */
  revoke<Name extends keyof Clients & string, const Scope extends string = string>(
    name: Name,
    request?: RequestFor<Clients[Name], Scope>,
  ): Promise<void>
  /** Refuses new calls, ends renewals behind the callers, waits for those that have callers. */
  close(): Promise<void>
}

/**
 * Makes the tokens of machine clients. Nothing is sent before a token is asked for.
 *
 * @throws ConfigurationError that names client and option, for every mistake that shows without asking a server.
 */
export function createMachineTokens<const Clients extends ClientDefinitions>(
  options: TokenManagerOptions<Clients>,
): MachineTokens<Clients> {
  const { clients, envs } = openClients(options)
  const { clock = systemClock, telemetry, customizeRequest } = options
  let closing: Promise<void> | undefined

  function clientOf(name: unknown): MachineClient {
    const client = clients.get(name as string)
    if (client !== undefined) return client
    const came = typeof name === 'string' ? `"${name}"` : describe(name)
    throw new ConfigurationError(`expected a client out of ${[...clients.keys()].join(', ')}, got ${came}`, {
      code: 'client_unknown',
    })
  }

  async function customized(outgoing: OutgoingRequest): Promise<TokenSource> {
    if (customizeRequest === undefined) return clientOf(outgoing.clientName).source(outgoing.request)
    try {
      return clientOf(outgoing.clientName).sourceOnce(await customizeRequest(outgoing))
    } catch (cause) {
      if (isEvertokenError(cause)) throw cause
      throw new ConfigurationError(`client "${outgoing.clientName}": expected customizeRequest to work, got an error`, {
        code: 'customizer_failed',
        cause,
      })
    }
  }

  return {
    getToken(name, request, getOptions) {
      try {
        return clientOf(name).sourceOnce(request).getToken(getOptions)
      } catch (error) {
        return Promise.reject(error)
      }
    },
    source: (name, request) => clientOf(name).source(request),
    authorizer(name, destination, request) {
      const rules = destinationRules(destination, `client "${name}"`)
      const own = clientOf(name).source(request)
      const sourceFor =
        customizeRequest === undefined
          ? () => own
          : ({ method, url, headers = new Headers() }: { method: string; url: URL; headers?: Headers | undefined }) =>
              customized({ clientName: name, method, url, headers: new Headers(headers), request: request ?? {} })
      return createAuthorizer({ sourceFor, rules, clock, telemetry })
    },
    async delete(name, request) {
      if (name === undefined) await Promise.all([...clients.values()].map((client) => client.deleteAll()))
      else if (request === undefined) await clientOf(name).deleteAll()
      else await clientOf(name).delete(request)
    },
    async revoke(name, request) {
      if (closing !== undefined) throw closedError()
      await clientOf(name).revoke(request)
    },
    close() {
      closing ??= closeClients()
      return closing
    },
  }

  async function closeClients(): Promise<void> {
    const flights = envs.flatMap((env) => [...env.flights])
    for (const env of envs) env.isClosed = true
    for (const client of clients.values()) client.forgetAll()
    for (const flight of flights) if (flight.callers === 0) flight.abort.abort(closedError())
    await Promise.allSettled(flights.map((flight) => flight.promise))
  }
}
