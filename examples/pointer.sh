# /proc/version says that the kernel was patched while the fix is applied.
case $SUTURE_PHASE in
applied) grep -x "$(uname -r), patched live" /proc/version ;;
*) grep '^Linux version' /proc/version ;;
esac
