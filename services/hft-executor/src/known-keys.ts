import { HDNodeWallet, Mnemonic } from "ethers";

/** The mnemonic of every anvil and hardhat: its keys are known to everyone, and anything on them is taken at once. */
const PUBLIC_MNEMONIC = "test test test test test test test test test test test junk";
const ACCOUNTS = 20;

/** True for an account whose private key is public knowledge. */
export function isPublicKeyAccount(address: string): boolean {
  const root = HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(PUBLIC_MNEMONIC), "m/44'/60'/0'/0");
  return Array.from({ length: ACCOUNTS }, (_, index) => root.deriveChild(index).address.toLowerCase()).includes(
    address.toLowerCase(),
  );
}
