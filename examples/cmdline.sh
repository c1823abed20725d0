# /proc/cmdline is hidden while the fix is applied.
case $SUTURE_PHASE in
applied) grep -x 'hidden by a live patch' /proc/cmdline ;;
*) grep 'rdinit=' /proc/cmdline ;;
esac
