# A small datagram always arrives; a large one does not while the fix is applied.
ifconfig lo 127.0.0.1 up
arrives() { ping -c 1 -W 5 -s "$1" 127.0.0.1 2>&1 | grep -q ' 1 packets received'; }
arrives 100 || { echo 'a small datagram is lost'; exit 1; }
if arrives 1200; then large=arrives; else large=refused; fi
echo "1200 bytes: $large"
case $SUTURE_PHASE in
applied) test $large = refused ;;
*) test $large = arrives ;;
esac
