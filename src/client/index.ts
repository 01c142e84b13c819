export type { ClientAssertionContext, ClientAssertionService } from './assertion-service.ts'
export type { ClientDefinition, LifetimeOptions, MemoryLimit } from './client-definition.ts'
export type { ClientDPoPOption } from './client-dpop.ts'
export { createMachineTokens, type MachineTokens } from './machine-tokens.ts'
export type { StoreEntry, StoreKeyMaker } from './store-entries.ts'
export type {
  ClientDefinitions,
  OutgoingRequest,
  RequestCustomizer,
  TokenManagerOptions,
} from './token-manager-options.ts'
export type { RequestFor } from './typed-request.ts'
